"""Draw the effect of removal for each method, and images before and after removal."""

from dasbench.core import artifacts, script_main, tables
from dasbench.reports.figures import before_after, removal, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--summary", required=True, help="removal/summary.csv")
    parser.add_argument("--per-query", required=True, help="removal/per_query.parquet")
    parser.add_argument("--images", required=True, help="removal/images.npy")
    parser.add_argument("--index", required=True, help="removal/images.csv")
    parser.add_argument("--queries", required=True, help="queries/gen.npy")
    for name in ("removal", "before-after"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    settings = args.settings
    families = settings.get("families")
    per_query = removal.named(tables.load_table(args.per_query))
    summary = removal.named(tables.load_table(args.summary))
    style.save(removal.effects(summary, per_query, families), args.removal)
    index = removal.named(tables.load_table(args.index))
    queries = artifacts.load_array(args.queries, (None, None, None, None), "float32")
    shown = sorted(index["query"].unique())[: settings.get("queries", 6)]  # positions in gen.npy
    rank = {query: place for place, query in enumerate(shown)}

    def placed(table):
        """Rows of the shown queries, with ``query`` as the position among these."""
        table = table[table["query"].isin(rank)]
        return table.assign(query=table["query"].map(rank))

    figure = before_after.grid(
        queries[shown],
        artifacts.load_array(args.images, (None, *queries.shape[1:]), "float32"),
        placed(index),
        [f"gen {query}" for query in shown],
        per_query=placed(per_query),
        k=settings.get("k"),
        families=families,
    )
    style.save(figure, args.before_after)


if __name__ == "__main__":
    script_main.main(run)
