"""Points of LDS that rules for the damping lose: a panel for each set and kind of query."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from dasbench.reports.figures import style

COLUMNS = ("experiment", "set", "method", "queries", "target", "rule", "lost", "own")
RETRAINED = ("each_kind", "together")  # rules that need retrained models of the same set
ORACLE = "oracle"  # loses nothing by definition
FULL = 10.0  # points at which a cell has the full colour
_DARK = 0.6  # share of the full colour from which numbers are white
_ROW, _HEAD, _FOOT, _LEFT, _GAP = 0.19, 0.45, 0.95, 1.25, 0.12  # inches


@style.styled
def losses(rules: pd.DataFrame, target: str = "loss") -> Figure:
    """A table in colours for each set (rows) and kind of query (columns): rule × method.

    Args:
        rules: ``dampings/rules.csv``.
        target: ``loss`` or ``displacement``.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    style.require(rules, COLUMNS, "dampings/rules.csv")
    shown = rules[rules.own & (rules.target == target) & (rules.rule != ORACLE)]
    sets, kinds = list(dict.fromkeys(shown.experiment)), list(dict.fromkeys(shown.queries))
    names, methods = _ordered(shown.rule), list(dict.fromkeys(shown.method))
    tall = _ROW * len(names)
    height = len(sets) * (tall + _HEAD) + _FOOT
    figure = style.new(height=height)
    wide = (style.WIDTH - _LEFT - _GAP * len(kinds)) / len(kinds)
    for row, name in enumerate(sets):
        for column, kind in enumerate(kinds):
            left = (_LEFT + column * (wide + _GAP)) / style.WIDTH
            bottom = 1 - (row + 1) * (tall + _HEAD) / height
            panel = figure.add_axes((left, bottom, wide / style.WIDTH, tall / height))
            part = shown[(shown.experiment == name) & (shown.queries == kind)]
            cells = part.pivot(index="rule", columns="method", values="lost")
            _panel(panel, cells.reindex(index=names, columns=methods))
            panel.set_title(f"{part['set'].iloc[0]}: {style.QUERY_TITLES[kind]}")
            if column:
                panel.set_yticklabels([])
            if row < len(sets) - 1:
                panel.set_xticklabels([])
    return figure


def _ordered(rules: pd.Series) -> list[str]:
    """Rules with retrained models first, the others in the order of the table."""
    names = list(dict.fromkeys(rules))
    return sorted(names, key=lambda name: (name not in RETRAINED, names.index(name)))


def _panel(panel: Axes, cells: pd.DataFrame) -> None:
    points = 100 * cells.to_numpy()
    shades = LinearSegmentedColormap.from_list("loss", ["#ffffff", style.FAMILIES["das"]])
    panel.pcolormesh(points, cmap=shades, vmin=0, vmax=FULL, edgecolors="white", linewidth=1)
    for (i, j), lost in np.ndenumerate(points):
        if np.isfinite(lost):
            colour = "white" if lost > _DARK * FULL else style.INK
            middle = {"ha": "center", "va": "center"}
            panel.text(j + 0.5, i + 0.5, f"{lost:.1f}", color=colour, fontsize=7, **middle)
    panel.axhline(sum(name in RETRAINED for name in cells.index), color=style.INK, lw=1)
    panel.invert_yaxis()
    panel.set_yticks([i + 0.5 for i in range(len(cells))], cells.index, fontsize=7.5)
    panel.set_xticks(
        [j + 0.5 for j in range(cells.shape[1])], cells.columns, fontsize=7.5, rotation=35
    )
    for label in panel.get_xticklabels():
        label.set_ha("right")
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.tick_params(length=0)
