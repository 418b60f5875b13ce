"""Write a method's scores, under its own transform and held-out damping."""

from pathlib import Path

from dasbench.attribution.methods import interface
from dasbench.core import script_main, tables


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    interface.add_arguments(parser)
    parser.add_argument("--selection", required=True, help="from select_damping, .csv")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    selection = tables.load_table(args.selection).set_index(["queries", "transform"])["damping"]
    spectrum = interface.load_spectrum(args)
    for kind in settings["kinds"]:
        inputs = interface.load(args, kind, settings["axes"], spectrum)
        damping, own = selection[kind, settings["transform"]], settings["transform"]
        interface.write_scores(args.out / f"{kind}.npy", settings["options"], inputs, damping, own)


if __name__ == "__main__":
    script_main.main(run)
