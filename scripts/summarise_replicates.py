"""Join the LDS of an experiment and its replicates: values, mean and spread, comparisons."""

from pathlib import Path

from dasbench.core import script_main, tables
from dasbench.evaluation import replicates


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--summaries", nargs="+", required=True, help="lds/summary.csv of each")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    draws = args.settings["draws"]
    read = {Path(path).parents[1].name: tables.load_table(path) for path in args.summaries}
    table = replicates.values({name: read[name] for name in draws}, draws)
    tables.save_table(args.out / "values.csv", table)
    tables.save_table(args.out / "summary.csv", replicates.summary(table))
    pairs = args.settings["comparisons"]
    tables.save_table(args.out / "comparisons.csv", replicates.comparisons(table, pairs))


if __name__ == "__main__":
    script_main.main(run)
