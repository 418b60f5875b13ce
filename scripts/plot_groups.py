"""Draw how well scores say what happens without each group of training images."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import groups, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--summary", required=True, help="groups/summary.csv")
    parser.add_argument("--noise", required=True, help="groups/noise.csv")
    for name in ("groups-loss", "groups-displacement"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    families = args.settings.get("families")
    judged = tables.load_table(args.summary), tables.load_table(args.noise)
    style.save(groups.points(*judged, "loss", families), args.groups_loss)
    style.save(groups.points(*judged, "displacement", families), args.groups_displacement)


if __name__ == "__main__":
    script_main.main(run)
