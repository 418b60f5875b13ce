"""The partial LDS of every method given the floor, and its LDS; and how high the floor is.

Tables as in ``lds/summary.csv``. LDS are fractions in the tables, and percent in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import lds, style

COLUMNS = (*lds.COLUMNS, "partial", "partial_lo", "partial_hi", "partial_undefined")
FLOOR_COLUMNS = ("experiment", "queries", "side", "method", "lds", "lo", "hi")
_MARKERS = {"val": "o", "gen": "s"}


@style.styled
def bars(
    summary: pd.DataFrame, target: str = "loss", families: Mapping[str, str] | None = None
) -> Figure:
    """The partial LDS of every method with its interval, and its LDS as a ring.

    Args:
        summary: ``lds/summary.csv``.
        target: ``loss`` or ``displacement``.
        families: Family of methods that the registry does not know.

    Raises:
        UserError: If the table lacks columns or has no rows for the target.
    """
    style.require(summary, COLUMNS, "lds/summary.csv")
    keep = summary.own & (summary.target == target) & (summary.selection == "held_out")
    rows = summary[keep]
    style.require(rows, COLUMNS, f"lds/summary.csv, target {target},")
    methods = lds.order(summary, target)
    figure, axes, at = lds.frame(rows, methods)
    reach = 100 * float(np.nanmax(rows[["lds", "partial_hi"]].to_numpy()))
    low = min(0.0, 100 * float(np.nanmin(rows[["lds", "partial_lo"]].to_numpy())))
    for panel, (_kind, part) in zip(axes, lds.by_queries(rows), strict=True):
        panel.set_xlim(low * 1.15 - 0.02 * reach, reach * 1.12)
        panel.axvline(0, color=style.FAINT, lw=0.8, zorder=0)
        for row in part.itertuples():
            y, colour = at[row.method], style.look(row.method, families).colour
            if row.partial_undefined < row.Q:
                panel.barh(y, 100 * row.partial, height=0.62, color=style.tint(colour, 0.35))
                ends = [100 * row.partial_lo, 100 * row.partial_hi]
                panel.plot(ends, [y, y], color=style.INK, lw=1.1, solid_capstyle="butt")
            if row.undefined < row.Q:
                panel.plot(100 * row.lds, y, "o", ms=4, mfc="white", mec=style.INK, mew=0.9)
    ring = Line2D([], [], marker="o", ls="", ms=4, mfc="white", mec=style.INK, label="LDS")
    handles = [
        Line2D([], [], color=style.FAINT, lw=7, label="partial LDS given the floor"),
        Line2D([], [], color=style.INK, lw=1.1, label="bootstrap interval"),
        ring,
    ]
    lds.legend(figure, handles)
    return figure


@style.styled
def heights(table: pd.DataFrame) -> Figure:
    """LDS of the floor against LDS of the best gradient score, a point per data set and kind.

    Args:
        table: FLOOR_COLUMNS; ``side`` is "floor" or "gradient".

    Raises:
        UserError: If the table lacks columns or rows.
    """
    style.require(table, FLOOR_COLUMNS, "the table of floors")
    figure = style.new(height=4.6, width=5.6)
    panel = figure.add_axes((0.12, 0.12, 0.84, 0.82))
    sides = {
        side: part.set_index(["experiment", "queries"]) for side, part in table.groupby("side")
    }
    top, labels = 0.0, []
    names = list(dict.fromkeys(table.experiment))
    palette = list(style.FAMILIES.values())
    for (name, kind), floor in sides["floor"].iterrows():
        best = sides["gradient"].loc[(name, kind)]
        colour = palette[names.index(name) % len(palette)]
        x, y = (
            100 * floor[["lds", "lo", "hi"]].astype(float),
            100 * best[["lds", "lo", "hi"]].astype(float),
        )
        panel.plot([x.lo, x.hi], [y.lds, y.lds], color=colour, lw=1.1, solid_capstyle="butt")
        panel.plot([x.lds, x.lds], [y.lo, y.hi], color=colour, lw=1.1, solid_capstyle="butt")
        fill = colour if kind == "val" else "white"
        panel.plot(x.lds, y.lds, _MARKERS[kind], ms=6, mfc=fill, mec=colour, mew=1.2, zorder=3)
        labels.append((f"{name} {kind}", (x.lds, y.lds), colour))
        top = max(top, x.hi, y.hi)
    panel.plot([0, top], [0, top], color=style.FAINT, lw=0.9, ls=(0, (4, 3)), zorder=0)
    panel.set_xlim(min(0.0, 100 * table.lo.min()), 1.12 * top)
    panel.set_ylim(min(0.0, 100 * table.lo.min()), 1.12 * top)
    _label(panel, labels)
    panel.grid()
    panel.set_xlabel("LDS × 100 of the floor")
    panel.set_ylabel("LDS × 100 of the gradient score that is best on tuning data")
    handles = [
        Line2D([], [], marker="o", ls="", ms=6, color=style.INK, label="held-out images"),
        Line2D(
            [], [], marker="s", ls="", ms=6, mfc="white", mec=style.INK, label="generated images"
        ),
    ]
    panel.legend(handles=handles, loc="lower right")
    return figure


def _label(panel: Axes, labels: Sequence[tuple[str, tuple[float, float], str]]) -> None:
    """Write names beside their points where they hide no other point and no other name.

    Args:
        panel: With its final limits.
        labels: Text, point and colour of each.
    """
    scale = 72 / panel.figure.dpi
    points = [scale * panel.transData.transform(point) for _, point, _ in labels]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for (text, point, colour), (x, y) in zip(labels, points, strict=True):
        width, height = 4.2 * len(text), 8.0  # of the font below
        places = []
        for dx, dy in ((6, 5), (6, -11), (-6, 5), (-6, -11)):
            left = x + dx - (width if dx < 0 else 0)
            box = (left, y + dy, left + width, y + dy + height)
            places.append((sum(_overlap(box, other) for other in taken), dx, dy, box))
        _, dx, dy, box = min(places, key=lambda place: place[0])
        taken.append(box)
        panel.annotate(
            text,
            point,
            xytext=(dx, dy),
            textcoords="offset points",
            ha="right" if dx < 0 else "left",
            fontsize=7,
            color=colour,
        )


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    wide, high = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return max(wide, 0.0) * max(high, 0.0)
