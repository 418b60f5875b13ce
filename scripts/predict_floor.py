"""Predict the evaluation subsets by the selected floor, for the partial LDS of every method."""

from pathlib import Path

from dasbench.attribution import method_inputs
from dasbench.attribution.input_files import Files
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
    requests, transform = {}, settings["transform"]
    for kind, inputs in method_inputs.load_all(files, settings).items():
        point = Point.read(table[kind, transform])
        requests[kind] = interface.Request(inputs, [point], uses[kind]["evaluation"])
        print(f"{kind}: {point}")
    predicted = predictions.predict(interface.blocks(settings["options"], requests), masks)
    for kind, one in predicted.items():
        (sums,) = one.sums[transform]
        artifacts.save_array(args.out / f"{kind}.npy", sums)


if __name__ == "__main__":
    script_main.main(run)
