"""Charts of a report as Vega-Lite specifications: numbers in, plain dictionaries out.

The page's script draws them with the vendored library. It sets the colours of the families for a
light or a dark page (the range ``FAMILIES``), the values that a reader chooses (``params``), and
the width. Every chart has a hover text for each mark, and can be saved as SVG or PNG.

Source: Vega-Lite (https://vega.github.io/vega-lite/), Satyanarayan et al. (IEEE InfoVis 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dasbench.reports import method_families as families
from dasbench.reports import pages

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FAMILIES = "families"  # stands for a list of colours, one for each family
LINE = 19  # pixels for a method
SHOWN = 14  # methods before a reader asks for all
_DARK = {"retraining": "#e3e7eb", "similarity": "#b3a698", "control": "#8a929b", "dtrak": "#5aa9e6",
         "das": "#f08a4b", "trak": "#3fbf9f", "influence": "#d58fc3", "gradient": "#dcb545",
         "other": "#9b93f0"}  # fmt: skip
PALETTE = {
    "light": list(families.FAMILIES.values()),
    "dark": [_DARK[family] for family in families.FAMILIES],
}
_TITLES = {
    "das": "DAS",
    "dtrak": "D-TRAK",
    "trak": "TRAK",
    "influence": "influence, unlearning",
    "gradient": "gradient similarity",
    "similarity": "similarity without a model",
    "retraining": "from retrained models",
    "control": "control",
    "other": "other",
}
MEASURES = ("loss", "displacement", "partial")


def _points(value: Any) -> float | None:
    """A fraction times 100, with two decimals; None if it is missing."""
    return None if pd.isna(value) else round(100 * float(value), 2)


def lds(
    summary: pd.DataFrame,
    ceiling: pd.DataFrame,
    kind: str,
    methods: Sequence[str],
    floor: str | None,
) -> dict[str, Any]:
    """LDS of the methods with intervals, the ceiling, and a line at the floor.

    Args:
        summary: ``lds/summary.csv``.
        ceiling: ``lds/ceiling.csv``.
        kind: val or gen.
        methods: All methods in the order of the headline, the same for both kinds of queries.
        floor: The method with the line, or None.

    Returns:
        A specification with the params ``measure`` (loss, displacement, partial) and ``most`` (how
        many methods are shown).
    """
    held = summary[summary.own & (summary.selection == "held_out") & (summary.queries == kind)]
    values = [
        value
        for measure in MEASURES
        for value in _rows(held, measure, methods)
        if value["lds"] is not None
    ]
    bounds = [
        {"measure": row["target"], **{name: _points(row[name]) for name in ("ceiling", "lo", "hi")}}
        for row in ceiling[ceiling.queries == kind].to_dict("records")
        if not pd.isna(row["ceiling"])
    ]
    chosen = {"filter": "datum.measure == measure && datum.place <= most"}
    below = {"filter": f"datum.measure == measure && datum.method == '{floor}'"}
    y = {"field": "method", "type": "nominal", "sort": {"field": "place", "op": "min"}}
    axis = {"title": None, "labelLimit": 200, "domain": False, "ticks": False}
    tooltip = [
        {"field": "method", "title": "method"},
        {"field": "lds", "title": "LDS × 100"},
        {"field": "interval", "title": "interval"},
        {"field": "parameters", "title": "parameters"},
    ]
    at = {"measure": {"filter": "datum.measure == measure"}}
    return {
        "$schema": SCHEMA,
        "params": [{"name": "measure", "value": "loss"}, {"name": "most", "value": SHOWN}],
        "height": {"step": LINE},
        "layer": [
            {
                "data": {"values": bounds},
                "transform": [at["measure"]],
                "mark": {"type": "rect", "opacity": 0.13, "color": "#808890"},
                "encoding": {
                    "x": {"field": "lo", "type": "quantitative"},
                    "x2": {"field": "hi"},
                    "tooltip": {"value": "ceiling: interval"},
                },
            },
            {
                "data": {"values": bounds},
                "transform": [at["measure"]],
                "mark": {"type": "rule", "color": "#808890"},
                "encoding": {
                    "x": {"field": "ceiling", "type": "quantitative"},
                    "tooltip": [{"field": "ceiling", "title": "ceiling"}],
                },
            },
            {
                "data": {"values": values},
                "transform": [below],
                "mark": {"type": "rule", "strokeDash": [4, 3], "color": "#857869"},
                "encoding": {"x": {"field": "lds", "type": "quantitative"}},
            },
            {
                "data": {"values": values},
                "transform": [chosen],
                "encoding": {"y": {**y, "axis": axis}, "color": _colour()},
                "layer": [
                    {
                        "mark": {"type": "rule", "strokeWidth": 1.6},
                        "encoding": {
                            "x": {"field": "lo", "type": "quantitative", "title": "LDS × 100"},
                            "x2": {"field": "hi"},
                        },
                    },
                    {
                        "mark": {"type": "point", "filled": True, "size": 72, "opacity": 1},
                        "encoding": {
                            "x": {"field": "lds", "type": "quantitative"},
                            "tooltip": tooltip,
                        },
                    },
                ],
            },
        ],
    }


def _rows(held: pd.DataFrame, measure: str, methods: Sequence[str]) -> list[dict[str, Any]]:
    """The marks of one measure, one for each method."""
    target = "displacement" if measure == "displacement" else "loss"
    names = ("partial", "partial_lo", "partial_hi") if measure == "partial" else ("lds", "lo", "hi")
    rows = held[held.target == target].set_index("method")
    found = []
    for place, method in enumerate(methods, 1):
        if method not in rows.index or names[0] not in rows:
            continue
        row = rows.loc[method]
        lost = row["partial_undefined" if measure == "partial" else "undefined"] >= row["Q"]
        value, lo, hi = (None if lost else _points(row[name]) for name in names)
        found.append(
            {
                "measure": measure,
                "method": method,
                "place": place,
                "family": families.family(method),
                "lds": value,
                "lo": lo,
                "hi": hi,
                "interval": None if value is None else f"{lo:.1f} to {hi:.1f}",
                "parameters": _parameters(row["parameters"]),
            }
        )
    return found


def _parameters(text: Any) -> str:
    """Parameters in words, such as ``damping 2·10⁻⁵``; "none" without any."""
    words = pages.parameters(text)
    if words == pages.NOTHING:
        return "none"
    return words if " " in words else f"damping {words}"


def _colour() -> dict[str, Any]:
    return {
        "field": "family",
        "type": "nominal",
        "scale": {"domain": list(families.FAMILIES), "range": FAMILIES},
        "legend": None,
    }


def legend(methods: Sequence[str]) -> list[dict[str, Any]]:
    """The families of some methods, for a legend: position in the palette, and title."""
    present = {families.family(method) for method in methods}
    return [
        {"position": place, "title": _TITLES[name]}
        for place, name in enumerate(families.FAMILIES)
        if name in present
    ]


def damping(summary: pd.DataFrame, kind: str, shown: Sequence[str]) -> dict[str, Any]:
    """LDS along the grid of dampings, with the chosen value and the best one in hindsight.

    Args:
        summary: ``lds/summary.csv``.
        kind: val or gen.
        shown: Methods whose lines are drawn first.

    Returns:
        A specification with the param ``chosen``, a list of methods.
    """
    own = summary[
        summary.own
        & (summary.queries == kind)
        & (summary.target == "loss")
        & summary.damping.notna()
    ]
    values = [
        {
            "method": row["method"],
            "family": families.family(row["method"]),
            "damping": row["damping"],
            "lds": _points(row["lds"]),
            "mark": row["selection"].replace("_", "-"),
        }
        for row in own.to_dict("records")
        if not pd.isna(row["lds"])
    ]
    x = {
        "field": "damping",
        "type": "quantitative",
        "scale": {"type": "log"},
        "title": "damping, relative to the largest eigenvalue",
        "axis": {"format": ".0e", "tickCount": 5},
    }
    y = {"field": "lds", "type": "quantitative", "title": "LDS × 100"}
    tooltip = [
        {"field": "method"},
        {"field": "damping", "format": ".0e"},
        {"field": "lds", "title": "LDS × 100"},
        {"field": "mark", "title": "value"},
    ]
    detail = {"field": "method", "type": "nominal"}
    base = {"x": x, "y": y, "color": _colour(), "detail": detail}

    def only(mark: str) -> dict[str, str]:
        return {"filter": f"datum.mark == '{mark}'"}

    return {
        "$schema": SCHEMA,
        "params": [{"name": "chosen", "value": list(shown)}],
        "height": 300,
        "data": {"values": values},
        "transform": [{"filter": "indexof(chosen, datum.method) >= 0"}],
        "layer": [
            {
                "transform": [only("path")],
                "mark": {"type": "line", "strokeWidth": 1.7},
                "encoding": base,
            },
            {
                "transform": [only("path")],
                "mark": {"type": "point", "opacity": 0, "size": 90},
                "encoding": {**base, "tooltip": tooltip},
            },
            {
                "transform": [only("oracle")],
                "mark": {"type": "point", "filled": False, "size": 110, "strokeWidth": 1.6},
                "encoding": {**base, "tooltip": tooltip},
            },
            {
                "transform": [only("held-out")],
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {**base, "tooltip": tooltip},
            },
            {
                "transform": [only("held-out")],
                "mark": {"type": "text", "align": "left", "dx": 8, "dy": -7, "fontSize": 11},
                "encoding": {**base, "text": {"field": "method"}},
            },
        ],
    }


def damped(summary: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """The methods that have a damping, in the order of ``methods``."""
    known = set(summary[summary.own & summary.damping.notna()].method)
    return [method for method in methods if method in known]


def first(methods: Sequence[str], most: int = 5) -> list[str]:
    """The lines that a page shows first: the best method of each family, then the next best."""
    seen: dict[str, str] = {}
    for method in methods:
        seen.setdefault(families.family(method), method)
    leaders = [method for method in methods if method in seen.values()]
    rest = [method for method in methods if method not in leaders]
    return [*leaders, *rest][:most]
