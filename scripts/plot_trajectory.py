"""Draw LDS under the displacement along sampling paths, and the places of the paths."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import style, trajectory


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--table", required=True, help="trajectory/lds.csv")
    parser.add_argument("--places", required=True, help="trajectory/places.csv")
    parser.add_argument("--trajectory", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    figure = trajectory.panels(tables.load_table(args.table), tables.load_table(args.places))
    style.save(figure, args.trajectory)


if __name__ == "__main__":
    script_main.main(run)
