"""Effects of retraining without the top-k examples, against removals of k random examples.

Tables as in ``removal/summary.csv`` and ``removal/per_query.parquet``. All values are the excess
over the mean of the random removals, so zero means "no better than chance".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dasbench.reports.figures import layout, style

MEASURES = {
    "loss_change": "loss change, excess over random",
    "image_l2": "image distance (L2), excess over random",
    "embedding_cosine": "embedding cosine, excess over random",
}
COLUMNS = ("method", "k", "measure", "mean", "excess", "lo", "hi")
REFERENCES = ("random", "null")
_LEGEND_COLUMNS = 7


@style.styled
def effects(
    summary: pd.DataFrame, per_query: pd.DataFrame, families: Mapping[str, str] | None = None
) -> Figure:
    """Excess effect of removal per method: dots with intervals for one k, lines for several.

    Args:
        summary: ``removal/summary.csv``.
        per_query: ``removal/per_query.parquet``, with the rows of ``random`` and ``null``.
        families: method -> family, for methods that the registry does not have.

    Raises:
        UserError: If a table lacks columns or has no rows of a method.
    """
    style.require(summary, COLUMNS, "removal/summary.csv")
    style.require(per_query, ("method", "k", "query", "set"), "removal/per_query.parquet")
    rows = summary[~summary.method.isin(REFERENCES) & summary["mean"].notna()]
    style.require(rows, COLUMNS, "removal/summary.csv, methods other than random and null,")
    measures = [name for name in MEASURES if (rows.measure == name).any()]
    first = rows[rows.measure == measures[0]].groupby("method").excess.mean()
    methods = sorted(first.index, key=lambda name: (-first[name], name))
    several = rows.k.nunique() > 1
    figure = style.new(height=4.2 if several else 1.6 + 0.27 * len(methods))
    axes = layout.panels(
        figure,
        len(measures),
        left=0.75 if several else 1.5,
        right=0.2,
        gap=0.75 if several else 0.3,
        bottom=0.8 + 0.2 * _extra_lines(methods if several else []),
    )
    for panel, measure in zip(axes, measures, strict=True):
        part = rows[rows.measure == measure]
        sets = _references(per_query, measure)
        if several:
            _lines(panel, part, sets, methods, families)
            panel.set_ylabel(MEASURES[measure])
        else:
            _dots(panel, part, sets, methods, families)
            panel.set_xlabel(MEASURES[measure])
            panel.set_yticklabels(methods if panel is axes[0] else [], color=style.INK)
    _legend(figure, methods if several else [], families)
    return figure


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Restore the name of the arm ``null``, which a CSV reader may take for a missing value."""
    return table.assign(method=table.method.fillna("null"))


def _extra_lines(methods: list[str]) -> int:
    return (len(methods) + len(REFERENCES) - 1) // _LEGEND_COLUMNS


def _references(per_query: pd.DataFrame, measure: str) -> dict[str, pd.DataFrame]:
    """Mean over queries of each random set (by k) and of each null model (no k)."""
    means = per_query.groupby(["method", "k", "set"], dropna=False)[measure].mean().reset_index()
    return {name: means[means.method == name] for name in REFERENCES}


def _spread(sets: dict[str, pd.DataFrame], measure: str, k: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values of random sets and null models at one k, minus the mean of the random sets."""
    random = sets["random"]
    at_k = random[random.k == k][measure].to_numpy()
    centre = at_k.mean() if len(at_k) else 0.0
    return at_k - centre, sets["null"][measure].to_numpy() - centre


def _dots(
    panel: Axes,
    rows: pd.DataFrame,
    sets: dict[str, pd.DataFrame],
    methods: list[str],
    families: Mapping[str, str] | None,
) -> None:
    measure, k = rows.measure.iloc[0], rows.k.iloc[0]
    random, null = _spread(sets, measure, k)
    if len(random):
        panel.axvspan(random.min(), random.max(), color=style.PALE, lw=0, zorder=0)
    panel.axvline(0, color=style.MUTED, lw=1, zorder=0.5)
    for value in null:
        panel.axvline(value, color=style.INK, lw=0.9, ls=(0, (1, 2)), zorder=0.6)
    at = {name: i for i, name in enumerate(methods)}
    for row in rows.itertuples():
        drawn = style.look(row.method, families)
        panel.plot(
            [row.lo, row.hi],
            [at[row.method]] * 2,
            color=drawn.colour,
            lw=1.8,
            solid_capstyle="butt",
        )
        panel.plot(
            row.excess,
            at[row.method],
            drawn.marker,
            color=drawn.colour,
            ms=6.5,
            mec="white",
            mew=0.8,
        )
    panel.set_ylim(len(methods) - 0.4, -0.6)
    panel.set_yticks(range(len(methods)))
    panel.grid(axis="x")
    panel.spines["left"].set_visible(False)
    panel.set_title(f"k = {k:g} removed")


def _lines(
    panel: Axes,
    rows: pd.DataFrame,
    sets: dict[str, pd.DataFrame],
    methods: list[str],
    families: Mapping[str, str] | None,
) -> None:
    measure, ks = rows.measure.iloc[0], sorted(rows.k.unique())
    spreads = [_spread(sets, measure, k) for k in ks]
    if all(len(random) for random, _ in spreads):
        low, high = [r.min() for r, _ in spreads], [r.max() for r, _ in spreads]
        panel.fill_between(ks, low, high, color=style.PALE, lw=0, zorder=0)
    panel.axhline(0, color=style.MUTED, lw=1, zorder=0.5)
    for values in np.array([null for _, null in spreads]).T:
        panel.plot(ks, values, color=style.INK, lw=0.9, ls=(0, (1, 2)), zorder=0.6)
    for i, name in enumerate(methods):
        part = rows[rows.method == name].sort_values("k")
        drawn = style.look(name, families)
        # a small sideways shift keeps the intervals of different methods from covering each other
        x = part.k * (1 + 0.025 * (i - (len(methods) - 1) / 2))
        panel.plot(
            x, part.excess, color=drawn.colour, ls=drawn.dash, marker=drawn.marker, ms=5, lw=1.4
        )
        panel.vlines(x, part.lo, part.hi, color=drawn.colour, lw=1.2)
    panel.set_xscale("log")
    panel.set_xticks(ks, labels=[f"{k:g}" for k in ks])
    panel.set_xticks([], minor=True)
    panel.set_xlabel("k, training images removed")
    panel.grid(axis="y")


def _legend(figure: Figure, methods: list[str], families: Mapping[str, str] | None) -> None:
    handles: list[Any] = []
    for name in methods:
        drawn = style.look(name, families)
        handles.append(
            Line2D(
                [],
                [],
                color=drawn.colour,
                ls=drawn.dash,
                marker=drawn.marker,
                ms=4.5,
                lw=1.3,
                label=name,
            )
        )
    handles += [
        Patch(color=style.PALE, label="random sets (range)"),
        Line2D(
            [],
            [],
            color=style.INK,
            lw=0.9,
            ls=(0, (1, 2)),
            label="null: nothing removed, other seeds",
        ),
    ]
    figure.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(0.99, 0.0),
        ncols=min(len(handles), _LEGEND_COLUMNS),
        columnspacing=1.1,
        fontsize=7.5,
    )
