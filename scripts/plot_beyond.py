"""Draw the partial LDS of every method given the floor, beside its LDS."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import beyond, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--summary", required=True, help="lds/summary.csv")
    parser.add_argument("--lds-beyond", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    families = args.settings.get("families")
    summary = tables.load_table(args.summary)
    style.save(beyond.bars(summary, "loss", families), args.lds_beyond)


if __name__ == "__main__":
    script_main.main(run)
