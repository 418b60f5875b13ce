"""Ask some training images about themselves, and write the rank of each in its own answer."""

from pathlib import Path

from dasbench.attribution import method_inputs, self_check
from dasbench.attribution.input_files import Files
from dasbench.attribution.parameters import Point
from dasbench.core import artifacts, script_main, tables


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    script_main.add_paths(parser, Files)
    parser.add_argument("--selection", required=True, help="from fix_damping, .csv")
    parser.add_argument("--check", type=Path, required=True, help="output, .json")
    args = parser.parse_args()
    settings, files = args.settings, script_main.paths(args, Files)
    selection = tables.load_table(args.selection).set_index(["queries", "transform"])["parameters"]
    kind, inputs = next(iter(method_inputs.load_all(files, settings).items()))
    point = Point.read(selection[kind, settings["transform"]])
    rows = self_check.choose(len(inputs.train_ids))
    ranks = self_check.ranks(settings["options"], inputs, point, settings["transform"], rows)
    checked = {"ids": inputs.train_ids[rows].tolist(), "ranks": ranks.tolist()}
    artifacts.save_json(args.check, checked)


if __name__ == "__main__":
    script_main.main(run)
