"""Seconds against LDS, with the front of what nothing else beats."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from dasbench.figures import layout, style

_OWN, _REFERENCE = "#0a66a8", "#c8500a"
_COLUMNS = ("method", "queries", "seconds", "lds", "lo", "hi", "front")


@style.styled
def points(table: pd.DataFrame, reference: str) -> Figure:
    """A panel for each kind of query; labelled are the points of the front and the reference.

    Args:
        table: From ``acceleration.points``.
        reference: The method whose LDS is drawn as a line.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    style.require(table, _COLUMNS, "cost-quality.csv")
    kinds = list(dict.fromkeys(table.queries))
    figure = style.new(height=4.6)
    axes = layout.panels(figure, len(kinds), left=0.6, right=0.2, gap=0.6)
    for panel, kind in zip(axes, kinds, strict=True):
        part = table[table.queries == kind].sort_values("seconds")
        for row in part.itertuples():
            colour = _REFERENCE if row.method == reference else _OWN
            faint = row.front or row.method == reference
            colour = colour if faint else style.tint(colour)
            panel.plot([row.seconds] * 2, [100 * row.lo, 100 * row.hi], color=colour, lw=0.7)
            panel.plot(row.seconds, 100 * row.lds, "o", ms=4, color=colour)
        front = part[part.front]
        panel.step(front.seconds, 100 * front.lds, where="post", color=_OWN, lw=1)
        line = 100 * part[part.method == reference].lds.iloc[0]
        panel.axhline(line, color=_REFERENCE, lw=0.8, ls=(0, (4, 2)))
        labelled = part[part.front | (part.method == reference)]
        span = 100 * (part.hi.max() - part.lo.min())
        places = layout.spread([100 * y for y in labelled.lds], span / 26)
        for row, y in zip(labelled.itertuples(), places, strict=True):
            panel.annotate(
                row.method, (row.seconds, y), (5, 0), textcoords="offset points", fontsize=6.5
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # mathtext is off
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.margins(x=0.16)
        panel.set_xlabel("seconds on one core")
        panel.set_title(style.QUERY_TITLES.get(kind, kind))
        panel.grid(axis="both")
    axes[0].set_ylabel("LDS × 100, held-out damping")
    handles = [
        Line2D([], [], marker="o", ms=4, color=_OWN, lw=1, label="nothing cheaper is as good"),
        Line2D([], [], marker="o", ms=4, color=style.tint(_OWN), lw=0, label="others"),
        Line2D([], [], marker="o", ms=4, color=_REFERENCE, lw=0.8, label=reference),
    ]
    figure.legend(handles=handles, loc="lower left", ncols=3, bbox_to_anchor=(0.04, 0))
    return figure
