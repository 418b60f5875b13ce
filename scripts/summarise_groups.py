"""Judge scores by what happens without each group of training images, and count their lists."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS, among
from dasbench.evaluation import bootstrap, general_influence, groups
from dasbench.evaluation.predictions import sum_scores


def differences(per_query: pd.DataFrame, settings: dict, *intervals) -> pd.DataFrame:
    """Every method against the floor, and the comparisons of the experiment file."""
    primary = {(pair["a"], pair["b"]): pair.get("fixed", "") for pair in settings["comparisons"]}
    known, floor = set(per_query["method"]), settings["floor"]
    bases = dict.fromkeys([floor, *(b for _, b in primary)])
    parts = [groups.compare(per_query, base, *intervals) for base in bases if base in known]
    table = pd.concat(parts) if parts else groups.compare(per_query.iloc[:0], "", *intervals)
    pairs = list(zip(table["a"], table["b"], strict=True))
    table["kind"] = ["primary" if pair in primary else "exploratory" for pair in pairs]
    table["fixed"] = [primary.get(pair, "") for pair in pairs]
    return table[(table["kind"] == "primary") | (table["b"] == floor)]


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--home", type=Path, required=True, help="folder with plan/ and outputs/")
    args = parser.parse_args()
    settings, home = args.settings, args.home
    train = artifacts.load_examples(args.examples)
    labels = artifacts.load_array(home / "plan/labels.npy", (None,), np.int64)
    members = (labels[:, None] == train.labels).astype(np.float64)  # [G, N]
    uses = artifacts.load_json(args.queries / "uses.json")
    draw = bootstrap.Bootstrap(settings["draws"], settings["level"])

    def rng(kind: str) -> np.random.Generator:
        return bootstrap.generator(settings["axes"], f"groups-{kind}")

    per_query, noise, general = [], [], []
    for kind in among(settings["scores"]):
        rows = np.asarray(uses[kind]["evaluation"])  # of queries/<kind>.npy
        asked = artifacts.load_array(args.queries / f"{kind}_labels.npy", (None,), np.int64)[rows]
        own, names, change = labels[:, None] == asked, {"queries": kind}, {}
        for target in TARGETS:
            shape, seeds = (2 + len(labels), None), range(settings["seeds"])
            files = [home / f"outputs/seed-{seed}/{target}-{kind}.npy" for seed in seeds]
            outputs = np.stack([artifacts.load_array(f, shape)[:, rows] for f in files])
            without = groups.changes(outputs)  # [S, 1 + G, Q], the null first
            parts = without[:, 1:], without[:, 0], own, draw, rng(kind)
            noise.append(groups.noise(*parts).assign(**names, target=target))
            change[target] = without[:, 1:].mean(axis=0)
        for method, file in settings["scores"][kind].items():
            scores = artifacts.load_array(file, (len(train.ids), None))[:, rows]
            lists = general_influence.table({method: scores}, train.ids)
            general.append(lists.assign(**names))
            predicted = sum_scores(members, scores)
            for target in TARGETS:
                judged = groups.judge(predicted, change[target], own)
                judged["query"] = rows[judged["query"]]
                per_query.append(judged.assign(method=method, target=target, **names))
    whole = pd.concat(per_query)[groups.PER_QUERY_COLUMNS]
    tables.save_table(home / "per_query.parquet", whole)
    tables.save_table(home / "summary.csv", groups.summarise(whole, len(labels), draw, rng))
    tables.save_table(home / "comparisons.csv", differences(whole, settings, draw, rng))
    tables.save_table(home / "noise.csv", pd.concat(noise))
    tables.save_table(home / "general.csv", pd.concat(general))


if __name__ == "__main__":
    script_main.main(run)
