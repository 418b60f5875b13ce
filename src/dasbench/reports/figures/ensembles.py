"""LDS on tuning data of averages over models, against what they cost."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from dasbench.reports.figures import layout, style

_COLOURS = {"base": "#1d232b", "full": "#0a66a8", "tune": "#c8500a"}
_LABELS = {"base": "base model", "full": "full-data models", "tune": "tuning models"}
_NOTE = {"textcoords": "offset points", "fontsize": 6.5, "color": style.MUTED}
_COLUMNS = ("group", "models", "timesteps", "queries", "lds", "lo", "hi", "mean_lds", "passes")


def best(table: pd.DataFrame) -> pd.DataFrame:
    """Of each group, number of models and timesteps, the rows with the highest mean LDS."""
    form = ["group", "models", "timesteps", "queries"]
    ordered = table.sort_values("mean_lds", ascending=False, kind="stable")
    return ordered.drop_duplicates(form).sort_values([*form[:1], "timesteps", "models"])


@style.styled
def points(table: pd.DataFrame) -> Figure:
    """A panel for each kind of query; lines join averages of equal timesteps.

    Args:
        table: ``ensembles/tuning.csv``.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    style.require(table, _COLUMNS, "ensembles/tuning.csv")
    chosen, kinds = best(table), list(dict.fromkeys(table.sort_values("queries").queries))[::-1]
    figure = style.new(height=4.6)
    axes = layout.panels(figure, len(kinds), left=0.6, right=0.2, gap=0.6, bottom=0.95)
    for panel, kind in zip(axes, kinds, strict=True):
        part = chosen[chosen.queries == kind]
        for (group, timesteps), line in part.groupby(["group", "timesteps"]):
            colour = _COLOURS[group]
            panel.plot(line.passes, 100 * line.lds, "o-", ms=4, lw=1, color=colour)
            panel.vlines(
                line.passes, 100 * line.lo, 100 * line.hi, color=style.tint(colour), lw=0.7
            )
            last = line.iloc[-1]
            at = (last.passes, 100 * last.lds)
            panel.annotate(f"T = {timesteps}", at, (4, 2), **_NOTE)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # mathtext is off
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.margins(x=0.16)
        panel.set_xlabel("passes: models times timesteps")
        panel.set_title(style.QUERY_TITLES.get(kind, kind))
        panel.grid(axis="both")
    axes[0].set_ylabel("LDS × 100, tuning data")
    handles = [
        Line2D([], [], marker="o", ms=4, lw=1, color=_COLOURS[group], label=_LABELS[group])
        for group in _COLOURS
        if group in set(chosen.group)
    ]
    figure.legend(handles=handles, loc="lower left", ncols=3, bbox_to_anchor=(0.04, 0))
    return figure
