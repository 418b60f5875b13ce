"""LDS per method: bars with bootstrap intervals, and the three transforms beside each other.

Tables as in ``lds/summary.csv`` and ``lds/ceiling.csv``. LDS are fractions in the tables, and
percent in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dasbench.reports.figures import layout, style

COLUMNS = (
    "method",
    "transform",
    "queries",
    "target",
    "selection",
    "lds",
    "lo",
    "hi",
    "own",
    "undefined",
    "Q",
)
TRANSFORMS = {"identity": "o", "square": "s", "signed_square": "^"}
_ROW = 0.25  # inches of height for one method
_SEPARATION = 0.7  # rows between the methods and the controls
_FAR_CEILING = (
    2.2  # a ceiling above this multiple of the largest value is written as text, not drawn
)


def order(summary: pd.DataFrame, target: str = "loss") -> list[str]:
    """Methods from best to worst held-out LDS (mean over the kinds of queries), controls last."""
    rows = summary[summary.own & (summary.selection == "held_out") & (summary.target == target)]
    means = rows.groupby("method").lds.mean()
    return sorted(means.index, key=lambda name: (name in style.CONTROLS, -means[name], name))


def rows_at(methods: list[str]) -> dict[str, float]:
    """Vertical position of each method in rows, from 0 at the top; a gap before the controls."""
    gaps = {name: _SEPARATION if name in style.CONTROLS else 0.0 for name in methods}
    return {name: i + gaps[name] for i, name in enumerate(methods)}


@style.styled
def bars(
    summary: pd.DataFrame,
    ceiling: pd.DataFrame,
    target: str = "loss",
    families: Mapping[str, str] | None = None,
) -> Figure:
    """Held-out LDS of every method under its own transform, with interval, oracle and ceiling.

    Args:
        summary: ``lds/summary.csv``.
        ceiling: ``lds/ceiling.csv``.
        target: ``loss`` or ``displacement``.
        families: Family of methods that the registry does not know.

    Raises:
        UserError: If the table lacks columns or has no rows for the target.
    """
    rows = _own(summary, target)
    methods = order(summary, target)
    figure, axes, at = frame(rows, methods)
    top = 100 * float(np.nanmax(rows[["lds", "hi"]].to_numpy()))
    low = min(0.0, 100 * float(np.nanmin(rows[["lds", "lo"]].to_numpy())))
    bounds = ceiling[ceiling.target == target]
    parts = list(zip(axes, by_queries(rows), strict=True))
    far = 100 * bounds.ceiling.max() > _FAR_CEILING * top
    reach = max(
        _ceiling(panel, bounds[bounds.queries == kind], top, far) for panel, (kind, _) in parts
    )
    for panel, (_kind, part) in parts:
        panel.set_xlim(low * 1.15 - 0.02 * reach, reach * 1.12)
        for absent in [name for name in methods if name not in set(part.method)]:
            say(panel, at[absent], reach, "does not apply")
        for row in part[part.selection == "held_out"].itertuples():
            _bar(panel, row, at[row.method], style.look(row.method, families).colour, reach)
        oracle = part[(part.selection == "oracle") & (part.undefined < part.Q)]
        panel.plot(
            100 * oracle.lds,
            [at[name] for name in oracle.method],
            "o",
            ms=4,
            mfc="white",
            mec=style.INK,
            mew=0.9,
        )
    legend(
        figure,
        [
            Line2D([], [], color=style.FAINT, lw=7, label="held-out damping"),
            Line2D([], [], color=style.INK, lw=1.1, label="bootstrap interval"),
            Line2D(
                [], [], marker="o", ls="", ms=4, mfc="white", mec=style.INK, label="oracle damping"
            ),
        ],
    )
    return figure


@style.styled
def transforms(
    summary: pd.DataFrame, target: str = "loss", families: Mapping[str, str] | None = None
) -> Figure:
    """Held-out LDS of every method under each transform; its own transform is filled.

    Args:
        summary: ``lds/summary.csv``.
        target: ``loss`` or ``displacement``.
        families: Family of methods that the registry does not know.

    Raises:
        UserError: If the table lacks columns or has no rows for the target.
    """
    style.require(summary, COLUMNS, "lds/summary.csv")
    rows = summary[(summary.target == target) & (summary.selection == "held_out")]
    style.require(rows, COLUMNS, f"lds/summary.csv, target {target},")
    methods = order(summary, target)
    figure, axes, at = frame(rows, methods)
    for panel, (_kind, part) in zip(axes, by_queries(rows), strict=True):
        for method, group in part[part.undefined < part.Q].groupby("method"):
            colour = style.look(method, families).colour
            panel.plot(
                100 * group.lds, [at[method]] * len(group), color=style.FAINT, lw=1.4, zorder=1
            )
            for row in group.itertuples():
                panel.plot(
                    100 * row.lds,
                    at[method],
                    TRANSFORMS.get(row.transform, "D"),
                    ms=6.5 if row.own else 5,
                    mfc=colour if row.own else "white",
                    mec=colour,
                    mew=1.1,
                    zorder=3 if row.own else 2,
                )
        panel.axvline(0, color=style.FAINT, lw=0.8, zorder=0)
        panel.margins(x=0.08)
    handles = [
        Line2D(
            [],
            [],
            marker=mark,
            ls="",
            ms=5,
            mfc="white",
            mec=style.INK,
            label=name.replace("_", " "),
        )
        for name, mark in TRANSFORMS.items()
    ]
    filled = Line2D(
        [], [], marker="o", ls="", ms=6.5, color=style.INK, label="filled: the method’s own"
    )
    legend(figure, [*handles, filled])
    return figure


def _own(summary: pd.DataFrame, target: str) -> pd.DataFrame:
    style.require(summary, COLUMNS, "lds/summary.csv")
    keep = summary.own & (summary.target == target) & (summary.selection != "path")
    style.require(summary[keep], COLUMNS, f"lds/summary.csv, target {target},")
    return summary[keep]


def by_queries(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each kind of query, in the order of the panels."""
    kinds = [kind for kind in ("val", "gen") if (rows.queries == kind).any()]
    return [(kind, rows[rows.queries == kind]) for kind in kinds]


def frame(rows: pd.DataFrame, methods: list[str]) -> tuple[Figure, list[Axes], dict[str, float]]:
    """A figure with a panel for each kind of query, and the vertical position of each method."""
    at = rows_at(methods)
    last = max(at.values())
    figure = style.new(height=1.45 + _ROW * (last + 1))
    kinds = [kind for kind, _ in by_queries(rows)]
    axes = layout.panels(figure, len(kinds), left=1.5, right=0.15, gap=0.25)
    for panel, kind in zip(axes, kinds, strict=True):
        panel.set_title(style.QUERY_TITLES[kind])
        panel.set_ylim(last + 0.65, -0.65)
        panel.set_yticks([at[name] for name in methods])
        panel.set_yticklabels(methods if panel is axes[0] else [], color=style.INK)
        panel.spines["left"].set_visible(False)
        panel.grid(axis="x")
        panel.set_xlabel("LDS × 100")
    return figure, axes, at


def _bar(panel: Axes, row: Any, y: float, colour: str, reach: float) -> None:
    if row.undefined >= row.Q:
        say(panel, y, reach, "undefined for every query")
        return
    lds, lo, hi = 100 * row.lds, 100 * row.lo, 100 * row.hi
    panel.barh(y, lds, height=0.62, color=style.tint(colour, 0.35))
    panel.plot([lo, hi], [y, y], color=style.INK, lw=1.1, solid_capstyle="butt")
    end = np.nanmax([lds, hi, 0.0]) + 0.02 * reach
    panel.text(end, y, f"{lds:.1f}".replace("-", "−"), fontsize=7, color=style.MUTED, va="center")


def say(panel: Axes, y: float, reach: float, words: str) -> None:
    """Write words in the place of a bar."""
    panel.text(0.012 * reach, y, words, color=style.MUTED, fontsize=7, va="center")


def _ceiling(panel: Axes, bound: pd.DataFrame, top: float, far: bool) -> float:
    """Draw the ceiling, or only write its value if a line so far out would flatten the bars.

    Returns:
        The largest value in the panel.
    """
    if bound.empty or not np.isfinite(bound.ceiling.iloc[0]):
        return top
    value, lo, hi = (100 * float(bound[name].iloc[0]) for name in ("ceiling", "lo", "hi"))
    panel.text(
        *(1, 1.012),
        f"ceiling {value:.0f} [{lo:.0f}, {hi:.0f}]{' →' if far else ''}",
        transform=panel.transAxes,
        ha="right",
        va="bottom",
        fontsize=7.5,
        color=style.MUTED,
    )
    if far:
        return top
    if np.isfinite(lo) and np.isfinite(hi):
        panel.axvspan(lo, hi, color=style.PALE, lw=0, zorder=0)
    panel.axvline(value, color=style.MUTED, lw=1, zorder=0.5)
    return max(top, value, hi if np.isfinite(hi) else value)


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """Write a legend below the panels."""
    height = figure.get_size_inches()[1]
    figure.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(0.99, 0.03 / height),
        ncols=len(handles),
        handlelength=1.4,
    )
