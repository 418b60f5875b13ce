"""LDS against the number of subset models: curves of the best methods, with intervals."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from dasbench.reports.figures import layout, style

_COLUMNS = ("method", "queries", "target", "models", "lds", "lo", "hi")
_SHOWN = 5


@style.styled
def curves(table: pd.DataFrame, target: str = "loss") -> Figure:
    """A panel for each kind of query, with the five best methods at the largest number of models.

    Args:
        table: ``lds/by_models.csv``.
        target: ``loss`` or ``displacement``.

    Raises:
        UserError: If the table lacks columns or rows.
    """
    rows = table[table.target == target]
    style.require(rows, _COLUMNS, "lds/by_models.csv")
    rows = rows.astype({"lds": "float32"})  # as computed: a table and its file look the same
    kinds = list(dict.fromkeys(rows.queries))
    figure = style.new(height=3.6)
    axes = layout.panels(figure, len(kinds), left=0.6, right=1.2, gap=1.4, bottom=0.5)
    for panel, kind in zip(axes, kinds, strict=True):
        part = rows[rows.queries == kind]
        most = part[part.models == part.models.max()]
        best = most.sort_values(["lds", "method"], ascending=[False, True]).head(_SHOWN)
        places = layout.spread([100 * y for y in best.lds], 100 * (part.hi - part.lo).max() / 14)
        for shift, (name, y) in enumerate(zip(best.method, places, strict=True)):
            line, look = part[part.method == name].sort_values("models"), style.look(name)
            x = line.models + 0.006 * most.models.iloc[0] * (shift - _SHOWN // 2)
            panel.vlines(x, 100 * line.lo, 100 * line.hi, color=style.tint(look.colour), lw=1)
            panel.plot(x, 100 * line.lds, color=look.colour, ls=look.dash, marker=look.marker, ms=3)
            panel.annotate(
                name,
                (x.iloc[-1], y),
                (6, 0),
                textcoords="offset points",
                fontsize=7,
                color=look.colour,
                va="center",
            )
        panel.set_xlabel("evaluation subset models M")
        panel.set_title(style.QUERY_TITLES.get(kind, kind))
        panel.grid(axis="y")
    axes[0].set_ylabel("LDS × 100, held-out damping")
    return figure
