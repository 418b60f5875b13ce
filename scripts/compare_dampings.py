"""Compute the LDS of one method along the damping grid, and criteria to choose a damping by."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.attribution import method_inputs
from dasbench.attribution.input_files import Files
from dasbench.attribution.methods import interface
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import damping_criteria, damping_curves, damping_rules
from dasbench.evaluation.bootstrap import Bootstrap


def requests_of(settings: dict, files: Files) -> tuple[dict, dict]:
    """The request of each kind, tuning queries first, and the columns of the evaluation queries."""
    points = interface.grid(settings["options"], damping_grid(settings["damping"]))
    uses, requests, asked = artifacts.load_json(files.queries / "uses.json"), {}, {}
    for kind, inputs in method_inputs.load_all(files, settings).items():
        first, rest = uses[kind]["tuning"], uses[kind]["evaluation"]
        requests[kind] = interface.Request(inputs, points, [*first, *rest])
        asked[kind] = slice(len(first), len(first) + len(rest))
    return requests, asked


def run() -> None:
    """See the module's docstring. No criterion reads outputs of evaluation subsets."""
    parser, twin = script_main.parser(__doc__), argparse.ArgumentParser()
    for one in (parser, twin):
        script_main.add_paths(one, Files)
    parser.add_argument("--home", type=Path, required=True, help="folder with masks and outputs")
    parser.add_argument("--finetuned", type=Path, required=True, help="folder with shard-*/")
    parser.add_argument("--measured", type=Path, required=True, help="folder of their outputs")
    parser.add_argument("--y", type=Path, required=True, help="training residuals, .npy")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--twin", nargs=argparse.REMAINDER, help="last: flags of another draw")
    args = parser.parse_args()
    settings, files = args.settings, script_main.paths(args, Files)
    masks = [args.home / f"masks/{use}.npy" for use in ("tune", "eval")]
    masks += [args.finetuned / f"shard-{shard}/masks.npy" for shard in settings["shards"]]
    masks = np.concatenate([artifacts.load_array(file, (None, None), bool) for file in masks])
    residuals, (requests, asked) = artifacts.load_array(args.y), requests_of(settings, files)
    others = settings | {"options": settings["twin"]}
    twins, _ = requests_of(others, script_main.paths(twin.parse_args(args.twin), Files))
    other = {kind: request.inputs for kind, request in twins.items()}
    watched = damping_criteria.watch(settings["options"], requests, asked, masks, residuals, other)
    twins = {k: r._replace(queries=r.queries[asked[k]]) for k, r in twins.items()}
    scores = damping_criteria.scores_of(settings["twin"], twins)
    bootstrap, curves, losses = Bootstrap(settings["draws"], settings["level"]), [], []
    for kind, request in requests.items():
        outputs = damping_curves.read(args.home / "outputs", args.measured, kind, request.queries)
        shape = outputs.judged["loss"].shape[1], len(twins[kind].queries)
        criteria = {rule: values[kind] for rule, values in watched.criteria.items()}
        criteria["agreement"] = damping_criteria.agreement(watched.scores, scores, kind)
        draws = bootstrap.shared(settings["axes"], kind, *shape)
        curve, lost = damping_curves.of_kind(
            watched.predicted[kind], asked[kind].start, outputs, draws, criteria
        )
        curves.append(curve.assign(queries=kind))
        losses.append(lost)
    names = {name: settings[name] for name in ("experiment", "method")}
    names["set"] = settings["axes"][0]
    curve = damping_rules.with_together(pd.concat(curves, ignore_index=True)).assign(**names)
    tables.save_table(args.out / "curve.csv", curve[damping_rules.CURVE])
    artifacts.save_array(args.out / "losses.npy", np.concatenate(losses))


if __name__ == "__main__":
    script_main.main(run)
