"""Rows of the report's section on groups: scores judged by models without all images of a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.reports import comparisons

CONTROLS = ("random", "class_match", "train_norm")


def table(results: Mapping[str, Any] | None, target: str = "loss") -> list[dict[str, Any]]:
    """One row per method, best first, controls last.

    Args:
        results: summary, general -> ``groups/<name>.csv``; None without a study of groups.
        target: ``loss`` or ``displacement``.

    Returns:
        Dictionaries with method, control (bool), cells {kind of query: cell}. A cell has the rows
        of the Spearman correlation, ``all`` and ``others`` (None if no query has a group);
        ``ndcg`` and ``top1`` over all groups; and the general influence ``distinct``, ``share``.
    """
    if results is None:
        return []
    summary = results["summary"]
    lists = results["general"].set_index(["method", "queries"])
    rows: dict[str, dict[str, Any]] = {}
    for (method, kind), part in summary[summary.target == target].groupby(["method", "queries"]):
        at = {(row["measure"], row["scope"]): row for row in part.to_dict("records")}
        cell: dict[str, Any] = {scope: at.get(("spearman", scope)) for scope in ("all", "others")}
        cell |= {name: at[name, "all"]["value"] for name in ("ndcg", "top1")}
        general = lists.loc[(method, kind)]
        cell |= {"distinct": int(general["distinct"]), "share": float(general["share"])}
        entry = {"method": method, "control": method in CONTROLS, "cells": {}}
        rows.setdefault(method, entry)["cells"][kind] = cell

    def rank(row: dict[str, Any]) -> tuple[Any, ...]:
        values = [cell["all"]["value"] for cell in row["cells"].values()]
        return row["control"], -sum(values) / len(values), row["method"]

    return sorted(rows.values(), key=rank)


def pairs(results: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The primary comparisons that groups judge, by rank correlation, with a verdict for each.

    Args:
        results: comparisons -> ``groups/comparisons.csv``; None without a study of groups.
    """
    if results is None:
        return []
    table = results["comparisons"]
    return comparisons.rows(table[table.measure == "spearman"].assign(selection="held_out"))[
        "primary"
    ]


def noise(results: Mapping[str, Any] | None, target: str = "loss") -> dict[str, dict[str, Any]]:
    """The ceilings and sizes of changes: kind of query -> scope -> row of ``groups/noise.csv``.

    Args:
        results: noise -> ``groups/noise.csv``; None without a study of groups.
        target: ``loss`` or ``displacement``.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in results["noise"].to_dict("records") if results else ():
        if row["target"] == target:
            found.setdefault(row["queries"], {"others": None})[row["scope"]] = row
    return found
