"""What charts and figures show, in words, for readers who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dasbench.reports.pages import KINDS

FIRST = 3  # methods that a text names


def of_chart(name: str, summary: pd.DataFrame) -> dict[str, str]:
    """The words for a chart, for each measure that a reader can choose.

    Args:
        name: ``lds-KIND`` or ``damping-KIND``.
        summary: ``lds/summary.csv``.

    Returns:
        loss, displacement, partial -> text; for dampings only loss.
    """
    what, kind = name.split("-")
    if what == "damping":
        held = _held(summary, kind, "loss")
        named = ", ".join(_named(held[held.damping.notna()], "lds"))
        text = f"LDS × 100 along the grid of dampings. At the chosen damping: {named}"
        return {"loss": text}
    found = {
        target: f"LDS × 100 of each method for the {target}: {_ends(summary, kind, target, 'lds')}"
        for target in ("loss", "displacement")
    }
    if "partial" in summary:
        ends = _ends(summary, kind, "loss", "partial")
        found["partial"] = f"LDS × 100 of each method beyond the tuned similarity: {ends}"
    return found


def of_figures(summary: pd.DataFrame, removal: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Stem of a figure -> what it shows, to follow the figure's general words.

    Args:
        summary: ``lds/summary.csv``.
        removal: Rows of ``report.removal_table``.
    """
    kinds = [kind for kind in KINDS if (summary.queries == kind).any()]
    figures = {
        "lds-loss": ("loss", "lds"),
        "lds-displacement": ("displacement", "lds"),
        "lds-beyond": ("loss", "partial"),
        "lds-transforms": ("loss", "lds"),
        "damping": ("loss", "lds"),
    }
    found = {
        stem: " ".join(f"On {KINDS[kind]}: {_ends(summary, kind, *of)}" for kind in kinds)
        for stem, of in figures.items()
        if of[1] in summary
    }
    effects = [
        (row["measures"]["loss_change"]["excess"], row["method"], row["k"])
        for row in removal
        if not row["reference"]
        and not row["method"].startswith("bottom-")
        and "loss_change" in row["measures"]
    ]
    if effects:
        excess, method, k = max(effects)
        found["removal"] = (
            f"The loss rises most without the {k:.0f} images that {method} ranks highest, by "
            f"{excess:.4f} more than without random ones"
        )
    return found


def _held(summary: pd.DataFrame, kind: str, target: str) -> pd.DataFrame:
    """Rows at the held-out parameters, for methods that are defined."""
    return summary[
        summary.own
        & (summary.selection == "held_out")
        & (summary.queries == kind)
        & (summary.target == target)
        & (summary.undefined < summary.Q)
    ]


def _named(rows: pd.DataFrame, value: str) -> list[str]:
    """Methods with their values, the highest first."""
    ordered = rows.sort_values(value, ascending=False)
    return [f"{row['method']} {100 * row[value]:.1f}" for row in ordered.to_dict("records")]


def _ends(summary: pd.DataFrame, kind: str, target: str, value: str) -> str:
    """The highest methods and the lowest one."""
    rows = _held(summary, kind, target)
    if value == "partial":
        rows = rows[rows.partial_undefined < rows.Q]
    named = _named(rows, value)
    if not named:
        return "no method is defined"
    low = f"; the lowest is {named[-1]}" if len(named) > FIRST else ""
    return f"the highest are {', '.join(named[:FIRST])}{low}"
