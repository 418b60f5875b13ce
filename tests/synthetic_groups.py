"""Made-up tables of a study of groups, for figures and the report; the numbers mean nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd

QUERIES, GROUPS = 100, 10


def _judged(names: list[str], quality: Mapping[str, float], key: Mapping[str, str]) -> list[dict]:
    """Rows of the summary for one kind of query, target and scope."""
    rows = []
    for method, measure in itertools.product(names, ("spearman", "ndcg", "top1")):
        value = 3 * quality.get(method, 0.1)
        lost = QUERIES if (method, key["scope"]) == ("class_match", "others") else 0
        row = {**key, "method": method, "measure": measure, "value": value, "undefined": lost}
        rows.append(row | {"lo": value - 0.1, "hi": value + 0.1, "groups": GROUPS, "Q": QUERIES})
    return rows


def tables(names: list[str], quality: Mapping[str, float]) -> dict[str, pd.DataFrame]:
    """File -> table.

    Args:
        names: Methods; the first is compared with the last.
        quality: Method -> a number that its values grow with.
    """
    files = ("summary", "comparisons", "noise", "general", "truths")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in files}
    ends = {"lo": 0.6, "hi": 0.9}
    for kind in ("val", "gen"):
        for target, scope in itertools.product(("loss", "displacement"), ("all", "others")):
            key = {"queries": kind, "target": target, "scope": scope}
            rows["summary"] += _judged(names, quality, key)
            noise = {"agreement": 0.7, "ceiling": 0.8, "change": 0.012, "null": 0.003, "S": 2}
            rows["noise"].append({**key, **noise, **ends, "groups": GROUPS, "Q": QUERIES})
            pair = {"a": names[0], "b": names[-1], "kind": "primary", "fixed": "on a day"}
            pair |= {"difference": 0.7, "detectable": 0.1, **ends}
            rows["comparisons"] += [{**key, **pair, "measure": m} for m in ("spearman", "ndcg")]
        for i, method in enumerate(names):
            lists = {"top": 10, "Q": QUERIES, "distinct": 40 + i, "share": 0.25}
            rows["general"].append({"queries": kind, "method": method, **lists})
            rank = {"rank": i + 1, "lo": i + 0.5, "hi": i + 2, "methods": len(names)}
            for truth, source in (("loss", "made_up"), ("groups-others-loss", "groups")):
                of = {"queries": kind, "truth": truth, "source": source}
                rows["truths"].append({**of, "method": method, "value": 0.1, **rank})
    return {f"groups/{name}.csv": pd.DataFrame(table) for name, table in rows.items()}
