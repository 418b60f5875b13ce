"""The contribution of each choice in a score: dots with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import layout, style

_ALL, _ONE, _OTHER = "#1d232b", "#c8500a", "#0a66a8"
_ROW = 0.2  # inches


@style.styled
def main_effects(table: pd.DataFrame, target: str = "loss") -> Figure:
    """Effect of every level against the reference of its factor.

    Two dots for each level: the mean over all cells, and the cell with all other choices as in DAS.

    Args:
        table: ``ablation/main_effects.csv``.
        target: ``loss`` or ``displacement``.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    columns = ("scope", "factor", "level", "queries", "target", "difference", "lo", "hi")
    style.require(table, columns, "ablation/main_effects.csv")
    rows = table[(table.target == target) & (table.scope == "all")]
    labels = [
        (f"{r.factor}: {_word(r.level)}  –  {_word(r.reference)}", (r.factor, str(r.level)))
        for r in rows.drop_duplicates(["factor", "level"]).itertuples()
    ]
    shown = {
        "all": rows,
        "das": table[(table.target == target) & (table.scope == "das")],
    }
    at = {key: y for y, (_, key) in enumerate(labels)}
    figure, axes = _frame([label for label, _ in labels], rows)
    for panel, kind in axes:
        for scope, colour, shift in (("all", _ALL, -0.13), ("das", _ONE, 0.17)):
            part = shown[scope][shown[scope].queries == kind]
            _dots(
                panel,
                part,
                [at.get((r.factor, str(r.level))) for r in part.itertuples()],
                (colour, shift),
            )
    _legend(
        figure,
        [
            ("mean over all cells, against the reference", _ALL),
            ("the same with everything else as in DAS", _ONE),
        ],
    )
    return figure


@style.styled
def gains(table: pd.DataFrame, target: str = "loss") -> Figure:
    """Shares of a method's gain over another, switch by switch.

    Args:
        table: ``ablation/gains.csv``.
        target: ``loss`` or ``displacement``.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    columns = ("before", "after", "switch", "order", "queries", "target", "difference", "lo", "hi")
    style.require(table, columns, "ablation/gains.csv")
    rows = table[table.target == target]
    labels = []
    for r in rows.drop_duplicates(["before", "after", "switch"]).itertuples():
        labels.append((f"{r.before} to {r.after}: {r.switch}", (r.before, r.after, r.switch)))
    at = {key: y for y, (_, key) in enumerate(labels)}
    figure, axes = _frame([label for label, _ in labels], rows)
    forms = (("shapley", _ALL, 0.0), ("first", _OTHER, -0.24), ("last", _ONE, 0.24))
    for panel, kind in axes:
        part = rows[rows.queries == kind]
        for order, colour, shift in (*forms, ("all", _ALL, 0.0)):
            of_order = part[part.order == order]
            places = [at[r.before, r.after, r.switch] for r in of_order.itertuples()]
            _dots(panel, of_order, places, (colour, shift))
    names = {"shapley": "mean over all orders", "first": "switched first", "last": "switched last"}
    _legend(figure, [(names[order], colour) for order, colour, _ in forms])
    return figure


def _frame(labels: Sequence[str], rows: pd.DataFrame) -> tuple[Figure, list[tuple[Any, str]]]:
    kinds = list(dict.fromkeys(rows.queries))
    figure = style.new(height=1.2 + _ROW * len(labels))
    axes = layout.panels(figure, len(kinds), left=2.4, right=0.2, gap=0.3)
    for panel, kind in zip(axes, kinds, strict=True):
        panel.axvline(0, color=style.FAINT, lw=1, zorder=0)
        panel.set_yticks(range(len(labels)), labels if panel is axes[0] else [""] * len(labels))
        panel.set_ylim(len(labels) - 0.4, -0.6)
        panel.spines["left"].set_visible(False)
        panel.grid(axis="x")
        panel.set_xlabel("LDS difference, points")
        panel.set_title(style.QUERY_TITLES.get(kind, kind))
    return figure, list(zip(axes, kinds, strict=True))


def _dots(panel: Any, rows: pd.DataFrame, places: Sequence[Any], look: tuple[str, float]) -> None:
    colour, shift = look
    for row, place in zip(rows.itertuples(), places, strict=True):
        if place is not None:
            y = place + shift
            panel.plot([100 * row.lo, 100 * row.hi], [y, y], color=colour, lw=1.1)
            panel.plot(100 * row.difference, y, "o", ms=3.4, color=colour)


def _legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    handles = [
        Line2D([], [], marker="o", ms=3.4, lw=1.1, color=colour, label=label)
        for label, colour in entries
    ]
    figure.legend(handles=handles, loc="lower left", ncols=len(handles), bbox_to_anchor=(0.01, 0))


def _word(level: Any) -> str:
    return {"True": "on", "False": "off"}.get(str(level), str(level))
