"""Rank the methods of an experiment by LDS on tuning subsets and tuning queries only."""

import pandas as pd

from dasbench.core import script_main, tables


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--selections", nargs="+", required=True, help="selection.csv of each")
    parser.add_argument("--ranking", required=True, help="output, .csv")
    args = parser.parse_args()
    transforms = args.settings["transforms"]
    table = pd.concat([tables.load_table(path) for path in args.selections])
    table["own"] = [transforms[row.method] == row.transform for row in table.itertuples()]
    means = table.groupby(["method", "transform"])["lds"].transform("mean")
    table = table.assign(mean_lds=means)
    order = ["mean_lds", "method", "transform", "queries"]
    ranked = table.sort_values(order, ascending=[False, True, True, True], kind="stable")
    tables.save_table(args.ranking, ranked)


if __name__ == "__main__":
    script_main.main(run)
