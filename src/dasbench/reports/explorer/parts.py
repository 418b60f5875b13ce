"""The parts of a page that its script draws: charts, the explorer, and their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dasbench import model_families
from dasbench.reports import definitions, pages
from dasbench.reports.explorer import alternatives, charts, opening
from dasbench.reports.pages import KINDS

GUESSED = "generated images; the label is that of most of the nearest training images"


def parts(
    experiment: str,
    settings: Mapping[str, Any],
    classes: Mapping[str, str],
    explorer: Mapping[str, Any] | None,
    methods: Sequence[str],
    drawn: Mapping[str, Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    floor: str | None = None,
) -> dict[str, Any]:
    """What the templates and the script of a report need for their charts and their explorer.

    Args:
        experiment: Its name.
        settings: The resolved experiment file, with the complete options of the methods.
        classes: Label, as text, -> name of the class.
        explorer: ``explorer.json``; None without lists of training images.
        methods: Names in the order in which a reader sees them.
        drawn: Name -> chart.
        variants: Methods of the experiment file that are like another one -> their options.
        floor: The method that selects the best tuned similarity; None without one.
    """
    explorer = explorer or {}
    known = definitions.of({name: (variants or {}).get(name, {}) for name in methods})
    # a model that has no condition generates images without labels
    guessed = model_families.condition(settings["model"]) is None
    data = {
        "experiment": experiment,
        "kinds": KINDS | ({"gen": GUESSED} if guessed else {}),
        "most": charts.SHOWN,
        "order": list(methods),
        "floor": floor,
        "classes": classes,
        "charts": drawn or {},
        "palette": charts.PALETTE,
        "definitions": {name: {"title": entry.title} for name, entry in known.items()},
        "explorer": explorer.get("contents"),
    }
    return {
        **pages.scripted(data),
        "explorer": explorer.get("contents"),
        "definitions": known,
        "warnings": opening.warnings(experiment, settings, explorer.get("noisiness")),
    }


def judged(
    summary: pd.DataFrame, ceiling: pd.DataFrame, methods: Sequence[str], floor: str | None
) -> dict[str, Any]:
    """The charts of a judged experiment, and what the template says about them.

    Args:
        summary: ``lds/summary.csv``.
        ceiling: ``lds/ceiling.csv``.
        methods: Methods, best first.
        floor: The method that selects the best tuned similarity; None without one.

    Returns:
        ``charts`` {name: specification}, ``alts`` {name: {measure: alternative text}}, ``legend``,
        ``dampings`` (methods with a damping) and ``dampings_shown`` (those that are drawn first).
    """
    drawn: dict[str, Any] = {}
    damped = charts.damped(summary, methods)
    shown = charts.first(damped)
    for kind in KINDS:
        if (summary.queries == kind).any():
            drawn[f"lds-{kind}"] = charts.lds(summary, ceiling, kind, methods, floor)
            if damped:
                drawn[f"damping-{kind}"] = charts.damping(summary, kind, shown)
    return {
        "charts": drawn,
        "alts": {name: alternatives.of_chart(name, summary) for name in drawn},
        "legend": charts.legend(methods),
        "dampings": damped,
        "dampings_shown": shown,
    }
