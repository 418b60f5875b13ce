"""Join the tables of all methods, and compare methods on the same bootstrap draws."""

from pathlib import Path

import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS, among
from dasbench.evaluation import lds
from dasbench.evaluation.bootstrap import Bootstrap

COLUMNS = [
    *["experiment", "kind", "a", "b", "transform_a", "transform_b", "queries", "target"],
    *["selection", "difference", "lo", "hi", "detectable", "fixed"],
]


def ceilings(outputs: Path, uses: dict, settings: dict) -> pd.DataFrame:
    """The table of ceilings, on the same draws as the LDS of the methods."""
    bootstrap, rows = Bootstrap(settings["draws"], settings["level"]), []
    for kind in among(uses):
        queries = uses[kind]["evaluation"]
        arrays = {
            t: artifacts.load_array(outputs / f"{t}-{kind}.npy")[:, :, queries] for t in TARGETS
        }
        draws = bootstrap.shared(settings["axes"], kind, *arrays["loss"].shape[1:])
        rows.append(
            lds.label(lds.ceilings(arrays, draws), experiment=settings["experiment"], queries=kind)
        )
    return pd.concat(rows)


def compared(folder: Path, pair: dict, kind: str, settings: dict) -> pd.DataFrame:
    """Paired differences of two methods on one kind of query."""
    sides = [lds.read(folder / pair[side])[kind] for side in "ab"]
    table = lds.compare(*sides, level=settings["level"])
    # comparisons are fixed in advance for held-out parameters; with the oracle's they are no test
    held_out = table["selection"] == "held_out"
    table["kind"] = held_out.map({True: pair["kind"], False: "exploratory"})
    table["fixed"] = pair.get("fixed", "")
    table = table[table["target"].isin(pair["truth"])]
    names = {"experiment": settings["experiment"], "a": pair["a"], "b": pair["b"], "queries": kind}
    return table.assign(**names)[COLUMNS]


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--methods", type=Path, required=True, help="folder of their folders")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument(
        "--outputs", type=Path, required=True, help="folder of the evaluation outputs"
    )
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    for table in ("summary.csv", "selection.csv", "leverage.csv", "per_query.parquet"):
        tables.save_table(args.out / table, tables.joined(args.methods, table, settings))
    uses = artifacts.load_json(args.queries / "uses.json")
    tables.save_table(args.out / "ceiling.csv", ceilings(args.outputs, uses, settings))
    reasons = settings["inapplicable"]
    tables.save_table(args.out / "inapplicable.csv", tables.inapplicable(settings))
    pairs = [
        compared(args.methods, pair, kind, settings)
        for pair in settings["comparisons"]
        for kind in among(uses)
        if set(pair["truth"]) & set(TARGETS)
        and not any(kind in reasons.get(pair[side], {}) for side in "ab")
    ]
    comparisons = pd.concat(pairs) if pairs else pd.DataFrame(columns=COLUMNS)
    tables.save_table(args.out / "comparisons.csv", comparisons)


if __name__ == "__main__":
    script_main.main(run)
