"""Rank the methods under every ground truth that has been made, and compare the truths."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import among
from dasbench.evaluation import truth_files, truths
from dasbench.evaluation.bootstrap import Bootstrap

MISSING = ["truth", "reason"]


def of_kind(kind: str, settings: dict, results: Path, draw: Bootstrap) -> Iterator[truths.Truth]:
    """Every truth of one kind of query."""
    name = settings["experiment"]
    yield from truth_files.of_lds(settings["lds"][kind], kind, settings["root"])
    resampled = truth_files.Resampled(draw, settings["axes"], kind)
    per_query = tables.load_table(results / name / "groups/per_query.parquet")
    yield from resampled.of_groups(per_query, name)
    for source, methods in settings["removals"].items() if kind == "gen" else ():
        table = tables.load_table(results / source / "removal/per_query.parquet")
        yield from resampled.of_removal(table, methods, source)
    for source, run in settings["replays"].items():
        folder = results / source / "replay/exact"
        exact, queries = truth_files.exact_influence(folder, run["parts"], kind)
        scores = {
            m: artifacts.load_array(settings["scores"][kind][m], (len(exact), None))[:, queries]
            for m in run["methods"][kind]
        }
        yield from resampled.of_exact(exact, scores, source)


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of all experiments")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    draw = Bootstrap(settings["draws"], settings["level"])
    ranks, tau = [], []
    for kind in among(settings["lds"]):
        found = list(of_kind(kind, settings, args.results, draw))
        ranks.append(truths.ranks(found, draw).assign(queries=kind))
        tau.append(truths.agreement(found, draw).assign(queries=kind))
    for row in settings["missing"]:
        print(f"{row['truth']}: {row['reason']}", flush=True)
    tables.save_table(args.out / "truths.csv", pd.concat(ranks))
    tables.save_table(args.out / "tau.csv", pd.concat(tau))
    missing = pd.DataFrame(settings["missing"], columns=MISSING)
    tables.save_table(args.out / "missing.csv", missing)


if __name__ == "__main__":
    script_main.main(run)
