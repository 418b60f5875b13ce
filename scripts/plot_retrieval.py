"""Draw how well answers contain the training images that they need."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import retrieval, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--table", required=True, help="retrieval/retrieval.csv")
    parser.add_argument("--retrieval", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    style.save(retrieval.bars(tables.load_table(args.table)), args.retrieval)


if __name__ == "__main__":
    script_main.main(run)
