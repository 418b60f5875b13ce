"""Rank correlation of every method with what happens without each group, with intervals.

Tables as in ``groups/summary.csv`` and ``groups/noise.csv``. Correlations are fractions in the
tables, and percent in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import lds, style

COLUMNS = (
    *("method", "queries", "target", "scope", "measure"),
    "value",
    "lo",
    "hi",
    "undefined",
    "Q",
)
NOISE_COLUMNS = ("queries", "target", "scope", "ceiling")
_OTHERS = "without the query’s own group"
_SHIFT = {"all": -0.14, "others": 0.14}  # rows above and below a method's place


def order(rows: pd.DataFrame) -> list[str]:
    """Methods from best to worst over all groups (mean over kinds of queries), controls last."""
    means = rows[rows.scope == "all"].groupby("method").value.mean()
    return sorted(means.index, key=lambda name: (name in style.CONTROLS, -means[name], name))


@style.styled
def points(
    summary: pd.DataFrame,
    noise: pd.DataFrame,
    target: str = "loss",
    families: Mapping[str, str] | None = None,
) -> Figure:
    """Spearman correlation over groups, over all of them and without the query's own group.

    Args:
        summary: ``groups/summary.csv``.
        noise: ``groups/noise.csv``.
        target: ``loss`` or ``displacement``.
        families: Family of methods that the registry does not know.

    Raises:
        UserError: If a table lacks columns or has no rows for the target.
    """
    style.require(summary, COLUMNS, "groups/summary.csv")
    style.require(noise, NOISE_COLUMNS, "groups/noise.csv")
    rows = summary[(summary.target == target) & (summary.measure == "spearman")]
    style.require(rows, COLUMNS, f"groups/summary.csv, target {target},")
    figure, axes, at = lds.frame(rows, order(rows))
    for panel, (kind, part) in zip(axes, lds.by_queries(rows), strict=True):
        panel.set_xlabel("rank correlation over groups × 100")
        panel.axvline(0, color=style.FAINT, lw=0.8, zorder=0)
        _ceilings(panel, noise[(noise.queries == kind) & (noise.target == target)])
        for row in part[part.undefined < part.Q].itertuples():
            y, colour = at[row.method] + _SHIFT[row.scope], style.look(row.method, families).colour
            fill = colour if row.scope == "all" else "white"
            ends = [100 * row.lo, 100 * row.hi]
            panel.plot(ends, [y, y], color=colour, lw=1.2, solid_capstyle="butt")
            panel.plot(100 * row.value, y, "o", ms=4.5, mfc=fill, mec=colour, mew=1.1, zorder=3)
    handles = [
        Line2D([], [], marker="o", ls="", ms=4.5, color=style.INK, label="all groups"),
        Line2D([], [], marker="o", ls="", ms=4.5, mfc="white", mec=style.INK, label=_OTHERS),
        Line2D([], [], color=style.MUTED, lw=1, label="ceiling, all groups"),
    ]
    lds.legend(figure, handles)
    return figure


def _ceilings(panel: Axes, bounds: pd.DataFrame) -> None:
    for ceiling in bounds[bounds.scope == "all"].ceiling:
        panel.axvline(100 * ceiling, color=style.MUTED, lw=1, zorder=0.5)
