"""LDS along the damping grid: how much the damping matters, and the two selected dampings.

Tables as in ``lds/summary.csv``: rows with selection ``path`` are the curve, rows with ``held_out``
and ``oracle`` the two selected dampings.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import layout, style

COLUMNS = ("method", "queries", "target", "selection", "damping", "lds", "own")
_LABEL = 7.0  # points
_HEIGHT = 4.7  # inches


@style.styled
def paths(
    summary: pd.DataFrame, target: str = "loss", families: Mapping[str, str] | None = None
) -> Figure:
    """LDS against relative damping, one line per method under its own transform.

    Args:
        summary: ``lds/summary.csv``; damping in units of the kernel's largest eigenvalue.
        target: ``loss`` or ``displacement``.
        families: method -> family, for methods that the registry does not have.

    Returns:
        The figure; a sentence instead of panels if no method has a damping.

    Raises:
        UserError: If the table lacks columns.
    """
    style.require(summary, COLUMNS, "lds/summary.csv")
    rows = summary[summary.own & (summary.target == target) & summary.damping.notna()]
    kinds = [kind for kind in ("val", "gen") if (rows.queries == kind).any()]
    if not kinds:
        figure = style.new(height=1.0)
        figure.text(
            0.5, 0.5, "No method of this experiment has a damping.", ha="center", color=style.MUTED
        )
        return figure
    figure = style.new(height=_HEIGHT)
    axes = layout.panels(figure, len(kinds), left=0.6, right=1.45, gap=1.75)
    limits = _limits(rows)
    for panel, kind in zip(axes, kinds, strict=True):
        _panel(panel, rows[rows.queries == kind], limits, families)
        panel.set_title(style.QUERY_TITLES[kind])
    axes[0].set_ylabel("LDS × 100")
    figure.legend(
        handles=[
            Line2D([], [], marker="o", ls="", ms=6, color=style.INK, label="held-out choice"),
            Line2D([], [], marker="o", ls="", ms=9, mfc="none", mec=style.INK, label="oracle"),
        ],
        loc="lower right",
        bbox_to_anchor=(0.99, 0.0),
        ncols=2,
    )
    return figure


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    lowest, highest = 100 * rows.lds.min(), 100 * rows.lds.max()
    pad = 0.06 * max(highest - lowest, 1.0)
    return min(lowest, 0.0) - pad, highest + pad


def _panel(
    panel: Axes, rows: pd.DataFrame, limits: tuple[float, float], families: Mapping[str, str] | None
) -> None:
    panel.set_xscale("log")
    layout.log_axis(panel.xaxis)
    panel.set_ylim(*limits)
    panel.grid(axis="y")
    panel.axhline(0, color=style.FAINT, lw=0.8)
    panel.set_xlabel("damping / largest eigenvalue")
    ends: dict[str, tuple[float, float]] = {}
    for method, group in rows.groupby("method"):
        drawn = style.look(method, families)
        path = group[group.selection == "path"].sort_values("damping")
        if path.empty:
            continue
        panel.plot(path.damping, 100 * path.lds, color=drawn.colour, ls=drawn.dash, lw=1.5)
        for selection, size, fill in (("held_out", 6, drawn.colour), ("oracle", 9.5, "none")):
            choice = group[group.selection == selection]
            panel.plot(
                choice.damping,
                100 * choice.lds,
                "o",
                ms=size,
                mfc=fill,
                mec=drawn.colour,
                mew=1.1,
                zorder=4,
            )
        ends[method] = (float(path.damping.iloc[-1]), 100 * float(path.lds.iloc[-1]))
    _label_ends(panel, ends, limits, families)


def _label_ends(
    panel: Axes,
    ends: dict[str, tuple[float, float]],
    limits: tuple[float, float],
    families: Mapping[str, str] | None,
) -> None:
    """Write names at the right ends of the lines, moved apart, each with a thin leader."""
    height = panel.figure.get_size_inches()[1] * panel.get_position().height * 72  # points
    gap = 1.35 * _LABEL * (limits[1] - limits[0]) / height
    heights = layout.spread([value for _, value in ends.values()], gap)
    overflow = max([0.0, *(value - limits[1] for value in heights)])
    for (method, (x, y)), label in zip(ends.items(), heights, strict=True):
        drawn = style.look(method, families)
        panel.annotate(
            method,
            xy=(x, y),
            xytext=(1.09, (label - overflow - limits[0]) / (limits[1] - limits[0])),
            textcoords="axes fraction",
            fontsize=_LABEL,
            color=drawn.colour,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": style.tint(drawn.colour),
                "lw": 0.6,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
        )
