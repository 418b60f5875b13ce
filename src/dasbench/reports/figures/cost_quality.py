"""LDS against seconds, with the front: methods that no cheaper method equals."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from dasbench.reports.figures import layout, style

_OWN, _REFERENCE = "#0a66a8", "#c8500a"
_NOTE = {"textcoords": "offset points", "fontsize": 7, "annotation_clip": False}
_ABREAST, _COLUMN, _LINE = 2, 2.1, 0.16  # names side by side; inches from one to the next
_COLUMNS = ("method", "queries", "seconds", "lds", "lo", "hi", "front")


@style.styled
def points(table: pd.DataFrame, reference: str) -> Figure:
    """A panel for each kind of query; points of the front have numbers, with names below.

    Args:
        table: From ``acceleration.points``.
        reference: The method whose LDS is drawn as a line.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    style.require(table, _COLUMNS, "cost-quality.csv")
    kinds = list(dict.fromkeys(table.queries))
    rows = -(-int(table[table.front].groupby("queries").size().max()) // _ABREAST)
    foot = 0.95 + _LINE * rows  # inches
    figure = style.new(height=4.0 + foot)
    axes = layout.panels(figure, len(kinds), left=0.6, right=0.2, gap=0.6, bottom=foot)
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
        for place, row in enumerate(front.itertuples()):
            number = f"{place + 1}"
            panel.annotate(number, (row.seconds, 100 * row.hi), (0, 2), ha="center", **_NOTE)
            column, below = divmod(place, rows)
            at = (72 * _COLUMN * column, -40 - 72 * _LINE * below)  # points from the corner
            label = {"text": f"{number}  {row.method}", "xycoords": "axes fraction", "va": "top"}
            panel.annotate(xy=(0, 0), xytext=at, **label, **_NOTE)
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
