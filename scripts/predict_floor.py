"""Predict the evaluation subsets by the selected floor, for the partial LDS of every method."""

from pathlib import Path

from dasbench.attribution import method_inputs
from dasbench.attribution.method_inputs import Files
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point
from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import predictions


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    script_main.add_paths(parser, Files)
    parser.add_argument("--masks", required=True, help="[M, N] of the evaluation subsets")
    parser.add_argument("--selection", required=True, help="from select_damping, .csv")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, files = args.settings, script_main.paths(args, Files)
    masks = artifacts.load_array(args.masks, (None, None), bool)
    uses = artifacts.load_json(files.queries / "uses.json")
    table = tables.load_table(args.selection).set_index(["queries", "transform"])["parameters"]
    for kind in settings["kinds"]:
        inputs = method_inputs.load(files, kind, settings["axes"], settings["options"])
        point = Point.read(table[kind, settings["transform"]])
        queries = uses[kind]["evaluation"]
        paths = interface.paths(settings["options"], inputs, [point], queries)
        (sums,) = predictions.predict(paths, masks).sums[settings["transform"]]
        artifacts.save_array(args.out / f"{kind}.npy", sums)
        print(f"{kind}: {point}")


if __name__ == "__main__":
    script_main.main(run)
