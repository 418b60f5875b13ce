"""How well answers contain the training images that they need; table as ``retrieval.csv``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import layout, lds, style

PANELS = 4  # at most, held-out images first
_COLUMNS = (
    *("queries", "group", "method", "questions", "first", "precision"),
    *("precision_lo", "precision_hi", "precision_chance"),
)
_ROW = 0.2  # inches
_SHORT = {"val": "held-out", "gen": "generated"}


@style.styled
def bars(table: pd.DataFrame, families: Mapping[str, str] | None = None) -> Figure:
    """Average precision of every method with its interval, a panel for each group of queries.

    Args:
        table: Rows of ``retrieval.csv``.
        families: Family of methods that the registry does not know.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    style.require(table, _COLUMNS, "retrieval.csv")
    groups = [
        (kind, group)
        for kind in _SHORT
        for group in dict.fromkeys(table[table.queries == kind].group)
    ]
    means = table.groupby("method").precision.mean()
    methods = sorted(means.index, key=lambda n: (n in style.CONTROLS, -means[n], n))
    at = lds.rows_at(methods)
    figure = style.new(height=1.5 + _ROW * (max(at.values()) + 1))
    shown = groups[:PANELS]
    axes = layout.panels(figure, len(shown), left=1.5, right=0.15, gap=0.25)
    for panel, (kind, group) in zip(axes, shown, strict=True):
        part = table[(table.queries == kind) & (table.group == group)]
        for row in part.itertuples():
            y, colour = at[row.method], style.look(row.method, families).colour
            panel.barh(y, row.precision, height=0.62, color=style.tint(colour, 0.35))
            ends = [row.precision_lo, row.precision_hi]
            panel.plot(ends, [y, y], color=style.INK, lw=1.1, solid_capstyle="butt")
            panel.plot(row.first, y, "o", ms=4, mfc="white", mec=style.INK, mew=0.9)
        panel.axvline(part.precision_chance.iloc[0], color=style.INK, lw=0.8, ls=(0, (4, 2)))
        panel.set_title(f"{_SHORT[kind]}: {group} ({part.questions.iloc[0]})")
        panel.set_ylim(max(at.values()) + 0.65, -0.65)
        panel.set_xlim(-0.02, 1.03)
        panel.set_yticks([at[name] for name in methods])
        panel.set_yticklabels(methods if panel is axes[0] else [], color=style.INK)
        panel.set_xlabel("average precision")
        panel.grid(axis="x")
    handles = [
        Line2D([], [], color=style.FAINT, lw=7, label="average precision"),
        Line2D([], [], color=style.INK, lw=1.1, label="bootstrap interval"),
        Line2D([], [], marker="o", ls="", ms=4, mfc="white", mec=style.INK, label="first image"),
        Line2D([], [], color=style.INK, lw=0.8, ls=(0, (4, 2)), label="chance"),
    ]
    lds.legend(figure, handles)
    return figure
