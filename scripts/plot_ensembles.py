"""Draw the LDS on tuning data of averages over models against their cost."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import ensembles, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--table", required=True, help="ensembles/tuning.csv")
    parser.add_argument("--ensembles", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    style.save(ensembles.points(tables.load_table(args.table)), args.ensembles)


if __name__ == "__main__":
    script_main.main(run)
