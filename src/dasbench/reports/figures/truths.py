"""The rank of every method under every ground truth, with intervals: a panel for each truth."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import layout, lds, style

COLUMNS = ("queries", "truth", "source", "method", "rank", "lo", "hi", "methods")
_ROW = 0.22  # inches of height for one method
_SHIFT = {"val": -0.15, "gen": 0.15}  # rows above and below a method's place


def order(rows: pd.DataFrame) -> list[str]:
    """Methods by their mean place among a truth's methods, controls last."""
    share = rows.assign(share=(rows["rank"] - 1) / (rows["methods"] - 1).clip(lower=1))
    means = share.groupby("method").share.mean()
    return sorted(means.index, key=lambda name: (name in style.CONTROLS, means[name], name))


@style.styled
def panels(table: pd.DataFrame, families: Mapping[str, str] | None = None) -> Figure:
    """Ranks of both kinds of query; 1, the best, is at the left.

    Args:
        table: ``groups/truths.csv``.
        families: Family of methods that the registry does not know.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    style.require(table, COLUMNS, "groups/truths.csv")
    methods = order(table)
    truths = list(dict.fromkeys(zip(table["truth"], table["source"], strict=True)))
    figure = style.new(height=1.9 + _ROW * len(methods))
    axes = layout.panels(figure, len(truths), left=1.6, right=0.15, gap=0.14)
    for panel, (truth, source) in zip(axes, truths, strict=True):
        part = table[(table["truth"] == truth) & (table["source"] == source)]
        for row in part.itertuples():
            colour = style.look(row.method, families).colour
            y = methods.index(row.method) + _SHIFT[row.queries]
            fill = colour if row.queries == "val" else "white"
            panel.plot([row.lo, row.hi], [y, y], color=colour, lw=1, solid_capstyle="butt")
            panel.plot(row.rank, y, "o", mfc=fill, mec=colour, ms=3.5, mew=0.9, zorder=3)
        panel.set_title("\n".join(truth.rsplit("-", 1)), fontsize=7.5)
        panel.set_xlim(0, part["methods"].max() + 1)
        panel.set_xlabel(f"rank\n{source}", fontsize=7)
        panel.set_ylim(len(methods) - 0.4, -0.6)
        panel.set_yticks(range(len(methods)))
        panel.set_yticklabels(methods if panel is axes[0] else [], color=style.INK)
        panel.spines["left"].set_visible(False)
        panel.grid()
    names = {"val": "held-out images", "gen": "generated images"}
    handles = [
        Line2D([], [], marker="o", ls="", ms=4, mfc=fill, mec=style.INK, label=names[kind])
        for kind, fill in (("val", style.INK), ("gen", "white"))
    ]
    lds.legend(figure, handles)
    return figure
