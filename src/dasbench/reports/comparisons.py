"""Rows of the report's tables of comparisons, with a verdict from each interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.reports import pages


def rows(table: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows by kind (primary, exploratory), each with a verdict from its interval.

    A row at the oracle's damping is exploratory, because that damping is not fixed beforehand.

    Args:
        table: ``lds/comparisons.csv``, may be empty.
    """
    found: dict[str, list[dict[str, Any]]] = {"primary": [], "exploratory": []}
    if not len(table):
        return found
    # the loss target first, as in the headline
    for row in sorted(table.to_dict("records"), key=lambda row: row["target"] != "loss"):
        if row["lo"] > 0:
            row["verdict"] = f"{row['a']} higher"
        elif row["hi"] < 0:
            row["verdict"] = f"{row['b']} higher"
        else:
            row["verdict"] = "not resolved"
        row["resolved"] = row["verdict"] != "not resolved"
        row["fixed"] = "" if pages.missing(row.get("fixed")) else row["fixed"]
        fixed = row["kind"] == "primary" and row["selection"] == "held_out"
        found["primary" if fixed else "exploratory"].append(row)
    return found


def removed(table: Any, measures: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of the primary comparisons that removal judges, with a verdict as the LDS's have.

    Args:
        table: ``removal/comparisons.csv``; None or empty without such comparisons.
        measures: Measure -> its title.
    """
    if table is None or not len(table):
        return []
    named = table.assign(target=table["measure"], selection="held_out")
    pairs = rows(named)["primary"]
    return [{**row, "measure": measures[row["measure"]]} for row in pairs]
