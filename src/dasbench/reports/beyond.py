"""Rows of the report's section on what scores know beyond the similarity of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dasbench.reports import pages


def floors(selection: Any) -> dict[str, str]:
    """Kind of query -> the floor that tuning data selected, with its parameters; {} without one.

    Args:
        selection: ``lds/selection.csv``.
    """
    chosen = selection[(selection["transform"] == "identity")]
    rows = [row for row in chosen.to_dict("records") if '"floor"' in str(row["parameters"])]
    return {row["queries"]: pages.parameters(row["parameters"]) for row in rows}


def table(summary: Any, methods: Sequence[str]) -> list[dict[str, Any]]:
    """One row per method under its own transform: its LDS, and what it knows beyond the floor.

    Args:
        summary: ``lds/summary.csv``.
        methods: Order of the methods.

    Returns:
        Per method: method, cells {kind: row of ``summary``} for the loss target; empty without a
        floor.
    """
    held = summary[summary.own & (summary.target == "loss") & (summary.selection == "held_out")]
    if "partial" not in held or held.partial.isna().all():
        return []
    cells: dict[str, dict[str, Any]] = {name: {} for name in methods}
    for row in held.to_dict("records"):
        cells.setdefault(row["method"], {})[row["queries"]] = row
    return [{"method": name, "cells": by_kind} for name, by_kind in cells.items() if by_kind]
