"""Write the scores of a method, with the transform of its settings and its held-out parameters."""

from pathlib import Path

from dasbench.attribution import method_inputs
from dasbench.attribution.input_files import Files
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point
from dasbench.core import script_main, tables


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    script_main.add_paths(parser, Files)
    parser.add_argument("--selection", required=True, help="from select_damping, .csv")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, files = args.settings, script_main.paths(args, Files)
    selection = tables.load_table(args.selection).set_index(["queries", "transform"])["parameters"]
    transform, requests = settings["transform"], {}
    for kind, inputs in method_inputs.load_all(files, settings).items():
        requests[kind] = interface.Request(inputs, [Point.read(selection[kind, transform])])
    interface.write_scores(args.out, settings["options"], requests, transform)


if __name__ == "__main__":
    script_main.main(run)
