"""Seconds per rule."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from dasbench.reports.figures import layout, style

_ACCENT = "#0a66a8"
_FEW = 10  # seconds; below it one decimal is shown


def duration(seconds: float) -> str:
    """A time in words: ``0.8 s``, ``42 s``, ``3 min 05 s``, ``1 h 12 min``."""
    if seconds < _FEW:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"


@style.styled
def by_rule(costs: pd.DataFrame) -> Figure:
    """Bars of the total seconds per rule, with the number of jobs.

    Args:
        costs: As ``cost_page.costs`` returns it: rule, jobs, seconds, share.

    Raises:
        UserError: If the table lacks columns.
    """
    if costs.empty:
        figure = style.new(height=1.0)
        figure.text(0.5, 0.5, "No timed job yet.", ha="center", color=style.MUTED)
        return figure
    style.require(costs, ("rule", "jobs", "seconds", "share"), "costs.csv")
    figure = style.new(height=1.05 + 0.25 * len(costs))
    (panel,) = layout.panels(figure, 1, left=1.9, right=1.9, gap=0, bottom=0.6)
    rows = range(len(costs))
    minutes = costs.seconds / 60
    panel.barh(rows, minutes, height=0.62, color=style.tint(_ACCENT, 0.25))
    for y, row in enumerate(costs.itertuples()):
        jobs = "1 job" if row.jobs == 1 else f"{row.jobs} jobs"
        text = f"{duration(row.seconds)}  ({100 * row.share:.0f} %, {jobs})"
        panel.text(
            row.seconds / 60 + 0.01 * minutes.max(),
            y,
            text,
            fontsize=7,
            color=style.MUTED,
            va="center",
        )
    panel.set_yticks(rows, labels=costs.rule, color=style.INK)
    panel.set_ylim(len(costs) - 0.4, -0.6)
    panel.spines["left"].set_visible(False)
    panel.grid(axis="x")
    panel.set_xlabel("minutes, summed over jobs")
    panel.set_title("Time by rule")
    return figure
