"""Write a small flat table of numbers, which `dvc metrics` compares between versions."""

from dasbench.core import artifacts, script_main, tables


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--summary", required=True, help="lds/summary.csv")
    parser.add_argument("--ceiling", required=True, help="lds/ceiling.csv")
    parser.add_argument("--removal", help="removal/summary.csv, where there is a study")
    parser.add_argument("--metrics", required=True, help="output, .json")
    args = parser.parse_args()
    summary = tables.load_table(args.summary)
    held = summary[summary["own"] & (summary["selection"] == "held_out")]
    metrics = {f"lds.{r.target}.{r.queries}.{r.method}": round(r.lds, 6) for r in held.itertuples()}
    defined = held[held["partial"].notna() & (held["partial_undefined"] < held["Q"])]
    for r in defined.itertuples():
        metrics[f"partial.{r.target}.{r.queries}.{r.method}"] = round(r.partial, 6)
    for r in tables.load_table(args.ceiling).itertuples():
        metrics[f"ceiling.{r.target}.{r.queries}"] = round(r.ceiling, 6)
    removed = tables.load_table(args.removal).dropna(subset=["excess"]) if args.removal else None
    for r in () if removed is None else removed.itertuples():
        metrics[f"removal.{r.measure}.k-{int(r.k)}.{r.method}"] = round(r.excess, 6)
    artifacts.save_json(args.metrics, metrics)


if __name__ == "__main__":
    script_main.main(run)
