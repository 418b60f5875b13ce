"""Draw the rank of every method under every ground truth."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import style, truths


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--ranks", required=True, help="groups/truths.csv")
    parser.add_argument("--truths", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    figure = truths.panels(tables.load_table(args.ranks), args.settings.get("families"))
    style.save(figure, args.truths)


if __name__ == "__main__":
    script_main.main(run)
