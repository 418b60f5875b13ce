"""Join the arms of the removal study, and compare every method with random removals."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import bootstrap, removal

COLUMNS = ["kind", "a", "b", "k", "measure", *bootstrap.Difference._fields, "fixed"]


def compared(table: pd.DataFrame, settings: dict) -> pd.DataFrame:
    """Paired differences of the comparisons that removal judges, on the same draws of queries."""
    intervals, rows = bootstrap.Bootstrap(settings["draws"], settings["level"]), []
    for pair in settings["comparisons"]:
        rng = bootstrap.generator(settings["axes"], "removal")
        both = table[table["method"].isin([pair["a"], pair["b"]])]
        found = removal.compare(both, pair["b"], rng, intervals)
        rows.append(found.assign(kind=pair["kind"], fixed=pair.get("fixed", "")))
    return pd.concat(rows)[COLUMNS] if rows else pd.DataFrame(columns=COLUMNS)


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--parts", type=Path, required=True, help="folder with <method>/k-<k>/")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    folders = [args.parts / method / f"k-{k}" for method, k in settings["arms"]]
    table = pd.concat(
        [tables.load_table(f / "per_query.parquet") for f in folders], ignore_index=True
    )
    images = np.concatenate([artifacts.load_array(f / "images.npy") for f in folders])
    intervals = bootstrap.Bootstrap(settings["draws"], settings["level"])
    rng = bootstrap.generator(settings["axes"], "removal")
    summary = removal.summarise(table, rng, intervals)
    described = table[["method", "k", "query", "set"]].rename_axis("row").reset_index()
    tables.save_table(args.out / "per_query.parquet", table)
    tables.save_table(args.out / "summary.csv", summary)
    tables.save_table(args.out / "comparisons.csv", compared(table, settings))
    artifacts.save_array(args.out / "images.npy", images)
    tables.save_table(args.out / "images.csv", described)


if __name__ == "__main__":
    script_main.main(run)
