"""Compute the LDS of one method on the evaluation subsets and queries, with bootstrap intervals."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.attribution import method_inputs
from dasbench.attribution.input_files import Files
from dasbench.attribution.methods import interface
from dasbench.attribution.methods.interface import Block
from dasbench.attribution.parameters import Point
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import beyond, lds, predictions
from dasbench.evaluation.bootstrap import Bootstrap

LEVERAGE = ["experiment", "method", "queries", "damping", "q50", "q90", "q99", "max"]


def with_leverages(blocks: Iterable[Block], by_kind: dict[str, list]) -> Iterator[Block]:
    """Pass the blocks on, and collect the leverages of each part under its kind of query."""
    for block in blocks:
        if block.leverages is not None:
            by_kind.setdefault(block.kind, []).append(block.leverages)
        yield block


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    script_main.add_paths(parser, Files)
    parser.add_argument("--masks", required=True, help="[M, N] of the evaluation subsets")
    parser.add_argument("--outputs", type=Path, required=True, help="folder of those outputs")
    parser.add_argument("--selection", required=True, help="from select_damping, .csv")
    parser.add_argument("--floor", type=Path, help="folder of the floor's predictions")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, files = args.settings, script_main.paths(args, Files)
    masks = artifacts.load_array(args.masks, (None, None), bool)
    points = interface.grid(settings["options"], damping_grid(settings["damping"]))
    bootstrap = Bootstrap(settings["draws"], settings["level"])
    uses = artifacts.load_json(files.queries / "uses.json")
    selection, requests = tables.load_table(args.selection), {}
    own = selection[selection["transform"] == settings["transform"]].set_index("queries")
    for kind, inputs in method_inputs.load_all(files, settings).items():
        point = Point.read(own["parameters"][kind])
        requests[kind] = interface.Request(inputs, points, uses[kind]["evaluation"], point)
    summaries, per_query, resampled, leverages, by_kind = [], [], [], [], {}
    blocks = with_leverages(interface.blocks(settings["options"], requests), by_kind)
    predicted = predictions.predict(blocks, masks)
    for kind, (inputs, _, positions, point) in requests.items():
        outputs = {
            target: artifacts.load_array(
                args.outputs / f"{target}-{kind}.npy", (None, len(masks), None), np.float32
            )[:, :, positions]
            for target in TARGETS
        }
        draws = bootstrap.shared(settings["axes"], kind, len(masks), len(positions))
        chosen = selection[selection["queries"] == kind]
        given = beyond.read(args.floor, kind, masks, inputs.about(positions)) if args.floor else {}
        summary, queries, statistics = lds.evaluate(predicted[kind], chosen, outputs, draws, given)
        names = {name: settings[name] for name in ("experiment", "method")} | {"queries": kind}
        if kind in by_kind:
            h = np.quantile(np.stack(by_kind[kind]), [0.5, 0.9, 0.99, 1])
            leverages.append([*names.values(), point["damping"], *h])
        summaries.append(lds.label(summary, own=settings["transform"], **names))
        queries["query"] = np.asarray(positions)[queries["query"]]  # rows of queries/<kind>.npy
        per_query.append(lds.label(queries, **names))
        resampled.append(statistics)
    tables.save_table(args.out / "leverage.csv", pd.DataFrame(leverages, columns=LEVERAGE))
    tables.save_table(args.out / "summary.csv", pd.concat(summaries))
    tables.save_table(args.out / "per_query.parquet", pd.concat(per_query))
    artifacts.save_array(args.out / "draws.npy", np.concatenate(resampled))


if __name__ == "__main__":
    script_main.main(run)
