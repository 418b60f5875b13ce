"""LDS under the displacement along sampling paths, and what each place of a path adds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import layout, lds, style

_ROW = 0.2  # inches
_SHIFT = {"trajectory": -0.22, "displacement": 0.0, "loss": 0.22}  # around a method's row
_NAMES = {
    "trajectory": "displacement along the path",
    "displacement": "displacement at noised images",
    "loss": "loss",
}
_COLOURS = {"trajectory": "#c8500a", "displacement": "#0a66a8", "loss": "#7d858e"}


@style.styled
def panels(table: pd.DataFrame, places: pd.DataFrame) -> Figure:
    """Left: LDS of every method under three targets. Right: the places of a path.

    Args:
        table: ``trajectory/lds.csv``.
        places: ``trajectory/places.csv``.

    Raises:
        UserError: If a table lacks columns or rows.
    """
    style.require(table, ("target", "method", "lds", "lo", "hi"), "trajectory/lds.csv")
    style.require(places, ("place", "displacement", "correlation"), "trajectory/places.csv")
    heights = table[table.target == "trajectory"].set_index("method").lds
    methods = sorted(heights.index, key=lambda n: (n in style.CONTROLS, -heights[n], n))
    at = lds.rows_at(methods)
    figure = style.new(height=1.5 + _ROW * (max(at.values()) + 1))
    judged, path = layout.panels(figure, 2, left=1.6, right=0.2, gap=0.6)
    _targets(judged, table, at)
    _places(path, places)
    handles = [
        Line2D([], [], marker="o", lw=1, ms=4, color=_COLOURS[target], label=label)
        for target, label in _NAMES.items()
    ]
    lds.legend(figure, handles)
    return figure


def _targets(panel: Axes, table: pd.DataFrame, at: Mapping[str, float]) -> None:
    """Points with intervals, three for each method."""
    for row in table.itertuples():
        y, colour = at[row.method] + _SHIFT[row.target], _COLOURS[row.target]
        panel.plot([100 * row.lo, 100 * row.hi], [y, y], color=colour, lw=1)
        panel.plot(100 * row.lds, y, "o", ms=3.5, color=colour)
    panel.axvline(0, color=style.INK, lw=0.8)
    panel.set_ylim(max(at.values()) + 0.65, -0.65)
    panel.set_yticks(list(at.values()))
    panel.set_yticklabels(list(at), color=style.INK)
    panel.set_xlabel("LDS × 100, generated images")
    panel.grid(axis="x")


def _places(panel: Axes, places: pd.DataFrame) -> None:
    """Two lines: agreement with the mean of all places, and relative displacement."""
    relative = places.displacement / places.displacement.max()
    solid, dashed = "rank correlation with all places", "displacement, largest = 1"
    look = {"ms": 3.5, "lw": 1, "color": style.INK}
    panel.plot(places.place, places.correlation, "o-", label=solid, **look)
    panel.plot(places.place, relative, "o--", mfc="white", label=dashed, **look)
    panel.axhline(0, color=style.INK, lw=0.8)
    panel.legend(loc="best")
    panel.set_xlabel("place on the sampling path: 0 is pure noise")
    panel.grid(axis="both")
