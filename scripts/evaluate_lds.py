"""Compute the LDS of one method on the evaluation subsets and queries, with bootstrap intervals."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.attribution import method_inputs
from dasbench.attribution.method_inputs import Files, Inputs
from dasbench.attribution.methods import controls, interface
from dasbench.attribution.parameters import Point
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import lds, predictions
from dasbench.evaluation.bootstrap import Bootstrap

LEVERAGE = ["experiment", "method", "queries", "damping", "q50", "q90", "q99", "max"]


def quantiles(settings: dict, inputs: Inputs, selection: pd.DataFrame, kind: str) -> list:
    """A row of ``LEVERAGE`` at the parameters selected for the method; no row without a kernel."""
    point = Point.read(selection.set_index("transform")["parameters"][settings["transform"]])
    h = interface.leverages(settings["options"], inputs, point)
    if h is None:
        return []
    names = [settings["experiment"], settings["method"], kind, point["damping"]]
    return [[*names, *np.quantile(h, [0.5, 0.9, 0.99, 1])]]


def fixed(floor: Path, kind: str, masks: np.ndarray, inputs: Inputs) -> dict[str, np.ndarray]:
    """The predictions that the partial LDS holds fixed, [M, Q] each."""
    shape = (len(masks), inputs.shape[1])
    classes = predictions.sum_scores(masks, controls.class_match(inputs))
    floor_sums = artifacts.load_array(floor / f"{kind}.npy", shape, np.float64)
    return {"floor": floor_sums, "class_match": classes}


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    script_main.add_paths(parser, Files)
    parser.add_argument("--masks", required=True, help="[M, N] of the evaluation subsets")
    parser.add_argument(
        "--outputs", type=Path, required=True, help="folder of the evaluation outputs"
    )
    parser.add_argument("--selection", required=True, help="from select_damping, .csv")
    parser.add_argument("--floor", type=Path, help="folder of the floor's predictions")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, files = args.settings, script_main.paths(args, Files)
    masks = artifacts.load_array(args.masks, (None, None), bool)
    points = interface.grid(settings["options"], damping_grid(settings["damping"]))
    bootstrap = Bootstrap(settings["draws"], settings["level"])
    uses = artifacts.load_json(files.queries / "uses.json")
    selection, spectrum = tables.load_table(args.selection), method_inputs.load_spectrum(files)
    summaries, per_query, resampled, leverages = [], [], [], []
    for kind in settings["kinds"]:
        positions = uses[kind]["evaluation"]
        outputs = {
            target: artifacts.load_array(
                args.outputs / f"{target}-{kind}.npy", (None, len(masks), None), np.float32
            )[:, :, positions]
            for target in TARGETS
        }
        draws = bootstrap.shared(settings["axes"], kind, len(masks), len(positions))
        inputs = method_inputs.load(files, kind, settings["axes"], settings["options"], spectrum)
        predicted = predictions.predict(
            interface.paths(settings["options"], inputs, points, positions), masks
        )
        chosen = selection[selection["queries"] == kind]
        given = fixed(args.floor, kind, masks, inputs.about(positions)) if args.floor else {}
        summary, queries, statistics = lds.evaluate(predicted, chosen, outputs, draws, given)
        names = {
            "experiment": settings["experiment"],
            "method": settings["method"],
            "queries": kind,
        }
        leverages += quantiles(settings, inputs, chosen, kind)
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
