"""The report of an experiment: one self-contained HTML page, a function of tables and figures.

The page holds no time, date, host or thread count, so equal results give equal bytes. The template
engine escapes all values (names, labels, licences).

Vocabulary: a *cell* holds the LDS of one method on one kind of query, with its interval. Fractions
in the tables are printed times 100, missing numbers as an en dash.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dasbench.core.query_kinds import NO_HELD_OUT
from dasbench.errors import UserError
from dasbench.reports import beyond, comparisons, groups, pages
from dasbench.reports.explorer import alternatives, opening, parts
from dasbench.reports.pages import KINDS

TARGETS = {"loss": "loss", "displacement": "displacement"}
CONTROLS = ("random", "class_match", "train_norm")
REFERENCES = ("random", "null")
MEASURES = {
    "loss_change": "loss change",
    "image_l2": "image L2",
    "embedding_cosine": "embedding cosine",
}
# figures whose numbers a chart shows; the page has them below, for print
CHARTED = ("lds-loss", "lds-displacement", "lds-beyond", "damping")
NEIGHBOURS = ("neighbours-val", "neighbours-gen")
QUANTILES = ("q50", "q90", "q99", "max")  # columns of lds/leverage.csv


@dataclass(frozen=True)
class Results:
    """The inputs of the page.

    Attributes:
        experiment: Name of the experiment.
        settings: The resolved experiment file, nested.
        summary: ``lds/summary.csv``.
        selection: ``lds/selection.csv``.
        comparisons: ``lds/comparisons.csv``, may be empty.
        removed_pairs: ``removal/comparisons.csv``, None without a removal experiment.
        groups: summary, comparisons, noise, general -> tables of ``groups/``, None without them.
        ceiling: ``lds/ceiling.csv``, may be empty.
        removal: ``removal/summary.csv``, None without a removal experiment.
        figures: ``.svg`` and ``.png`` files; the stem decides the section of a figure.
        metrics: Flat numbers from ``metrics.json``.
        data_card: Source, licence, size, hash of the data.
        versions: Package to version, as pinned.
        inapplicable: Method -> kind of query -> reason for no scores. A method without any scores
            is not in the tables.
        timings: Relative link to the page with the costs, None without one.
        leverage: ``lds/leverage.csv``, may be empty; None if it was not measured.
        gains: ``ablation/gains.csv``, None without an ablation.
        explorer: ``explorer.json``, None without lists of training images.
        variants: Methods that are like another one -> their options in the experiment file.
        floor: The method that selects the best tuned similarity, None without one.
    """

    experiment: str
    settings: Mapping[str, Any]
    summary: Any
    selection: Any
    comparisons: Any
    ceiling: Any
    removal: Any = None
    figures: Sequence[Path] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data_card: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    inapplicable: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    timings: str | None = "timings.html"
    leverage: Any = None
    gains: Any = None
    removed_pairs: Any = None
    groups: Mapping[str, Any] | None = None
    explorer: Mapping[str, Any] | None = None
    variants: Mapping[str, Any] = field(default_factory=dict)
    floor: str | None = None


def render(results: Results) -> str:
    """The page as HTML; equal results give equal text.

    Raises:
        UserError: If a table lacks the rows of the headline, or a figure file is missing.
    """
    tables = {target: headline(results.summary, results.ceiling, target) for target in TARGETS}
    if not tables["loss"]:
        raise UserError(
            "lds/summary.csv has no held-out rows for the loss target with own = True: "
            "evaluate at least one method before rendering the report"
        )
    compared = comparisons.rows(results.comparisons)
    removal = removal_table(results.removal)
    removed_pairs = comparisons.removed(results.removed_pairs, MEASURES)
    order = [row["method"] for row in tables["loss"]]
    figures = pages.figures(results.figures)
    seen = alternatives.of_figures(results.summary, removal)
    for item in (item for items in figures.values() for item in items):
        item["alt"] = ". ".join(
            [item["alt"], *([seen[item["stem"]]] if item["stem"] in seen else [])]
        )
    classes = results.data_card.get("classes") or {}
    drawn = parts.judged(results.summary, results.ceiling, order, results.floor)
    charted = (*CHARTED, *(NEIGHBOURS if results.explorer else ()))
    context = {
        **drawn,
        **parts.parts(
            results.experiment,
            results.settings,
            classes,
            results.explorer,
            order,
            drawn["charts"],
            results.variants,
            results.floor,
        ),
        "sentences": opening.sentences(
            tables["loss"], compared["primary"], results.floor, _elsewhere(results)
        ),
        "experiment": results.experiment,
        "title": results.settings.get("title") or results.experiment,
        "settings": flatten(results.settings),
        "resolved": results.settings,
        "sizes": _sizes(results.summary),
        "kinds": {kind: KINDS[kind] for kind in KINDS if (results.summary.queries == kind).any()},
        "tables": tables,
        "ceilings": {target: _ceilings(results.ceiling, target) for target in TARGETS},
        "comparisons": compared,
        "removed_pairs": removed_pairs,
        "dated": any(row["fixed"] for row in compared["primary"]),
        "beyond": beyond.table(results.summary, order),
        "floors": beyond.floors(results.selection),
        "full": full_table(results.summary, results.selection, order),
        "leverage": leverage_table(results.leverage, order),
        "quantiles": QUANTILES,
        "designed": _undefined_by_design(results.settings),
        "removal": removal,
        "gains": pages.gains(results.gains),
        "groups": groups.table(results.groups),
        "group_noise": groups.noise(results.groups),
        "group_pairs": groups.pairs(results.groups),
        "random_sets": _random_sets(removal),
        "measures": _measures(removal),
        "level": f"{100 * results.settings.get('lds', {}).get('level', 0.95):g} %",
        "figures": figures,
        "charted": charted,
        "printed": [
            item for items in figures.values() for item in items if item["stem"] in charted
        ],
        "metrics": results.metrics,
        "data_card": results.data_card,
        "versions": results.versions,
        "inapplicable": results.inapplicable,
        "absent": absent(results.settings),
        "skipped": {
            name: "; ".join(dict.fromkeys(reasons.values()))
            for name, reasons in results.inapplicable.items()
            if set(KINDS) <= set(reasons)
        },
        "timings": results.timings,
    }
    return pages.environment().get_template("report/page.html.j2").render(context)


def _elsewhere(results: Results) -> str:
    """What judges the primary comparisons besides the LDS."""
    truths = {"removal": results.removed_pairs, "groups": (results.groups or {}).get("comparisons")}
    return " and ".join(name for name, rows in truths.items() if rows is not None and len(rows))


def headline(summary: Any, ceiling: Any, target: str) -> list[dict[str, Any]]:
    """One row per method under its own transform, best first, controls last.

    Args:
        summary: ``lds/summary.csv``.
        ceiling: ``lds/ceiling.csv``.
        target: ``loss`` or ``displacement``.

    Returns:
        Per method: method, control (bool), tuning (M_tune), cells {kind: cell}; a cell has
        transform, lds, lo, hi, oracle, fraction (of the ceiling; None if that is not above zero),
        edge, undefined, queries, void.
    """
    own = summary[summary.own & (summary.target == target) & (summary.selection != "path")]
    bounds = _ceilings(ceiling, target)
    rows = []
    for method, group in own.groupby("method", sort=False):
        cells = {}
        for kind, part in group.groupby("queries"):
            held = part[part.selection == "held_out"]
            if len(held):
                best = part[part.selection == "oracle"]
                cells[str(kind)] = _cell(
                    held.iloc[0], best.iloc[0] if len(best) else None, bounds.get(kind)
                )
        if cells:
            head = {"method": str(method), "control": method in CONTROLS}
            rows.append(head | {"cells": cells, "tuning": _tuning(group)})
    return sorted(rows, key=lambda row: (row["control"], -_mean(row["cells"]), row["method"]))


def _tuning(rows: Any) -> int:
    """Number of tuning subsets in a method's scores; 0 if only its damping depends on them."""
    return int(rows["M_tune"].max()) if "M_tune" in rows else 0


def _cell(held: Any, oracle: Any, bound: dict[str, float] | None) -> dict[str, Any]:
    lds = float(held.lds)
    known = bound is not None and bound["lo"] > 0 and math.isfinite(bound["ceiling"])
    return {
        "transform": held["transform"],
        "lds": lds,
        "lo": float(held.lo),
        "hi": float(held.hi),
        "oracle": None if oracle is None else float(oracle.lds),
        "fraction": lds / bound["ceiling"] if known and bound else None,
        "edge": bool(held.edge),
        "undefined": int(held.undefined),
        "queries": int(held.Q),
        "void": int(held.undefined) >= int(held.Q),
    }


def _mean(cells: Mapping[str, dict[str, Any]]) -> float:
    return sum(cell["lds"] for cell in cells.values()) / len(cells)


def _ceilings(ceiling: Any, target: str) -> dict[str, dict[str, float]]:
    if not len(ceiling):
        return {}
    rows = ceiling[(ceiling.target == target) & ceiling.ceiling.notna()]
    columns = ["reliability", "rho", "ceiling", "lo", "hi"]
    return {
        row["queries"]: {name: float(row[name]) for name in columns}
        for row in rows.to_dict("records")
    }


def absent(settings: Mapping[str, Any]) -> dict[str, str]:
    """Kinds of queries, in words, that an experiment does not have -> the reason."""
    numbers = settings.get("queries", {})
    return {words: NO_HELD_OUT for kind, words in KINDS.items() if numbers.get(kind) == 0}


def _sizes(summary: Any) -> dict[str, Any]:
    """M, R and, per kind of query, Q."""
    first = summary.iloc[0]
    queries = {str(kind): int(part.Q.max()) for kind, part in summary.groupby("queries")}
    return {"M": int(first.M), "R": int(first.R), "Q": queries}


def full_table(summary: Any, selection: Any, methods: Sequence[str]) -> list[dict[str, Any]]:
    """One row per method, transform, kind of query and target, at the held-out damping.

    Args:
        summary: ``lds/summary.csv``.
        selection: ``lds/selection.csv``.
        methods: Order of the methods; others follow.

    Returns:
        Rows of ``summary``, with tuning (LDS on tuning data), oracle and oracle_parameters, void.
    """
    key = ["method", "transform", "queries", "target"]
    tuned = {
        (row["method"], row["transform"], row["queries"]): row["lds"]
        for row in selection.to_dict("records")
    }
    oracle = {
        tuple(row[name] for name in key): row
        for row in summary[summary.selection == "oracle"].to_dict("records")
    }
    rows = []
    for row in summary[summary.selection == "held_out"].to_dict("records"):
        best = oracle.get(tuple(row[name] for name in key), {})
        extra = {
            "tuning": tuned.get((row["method"], row["transform"], row["queries"])),
            "oracle": best.get("lds"),
            "oracle_parameters": best.get("parameters"),
            "void": row["undefined"] >= row["Q"],
        }
        rows.append({**row, **extra})
    place = {name: i for i, name in enumerate(methods)}
    return sorted(rows, key=lambda row: place.get(row["method"], len(place)))


def leverage_table(table: Any, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Quantiles of the leverage at the held-out damping, one row per method and kind of query.

    Args:
        table: ``lds/leverage.csv``; None or empty without leverages.
        methods: Order of the methods; others follow.
    """
    if table is None or not len(table):
        return []
    place = {name: i for i, name in enumerate(methods)}
    kinds = list(KINDS)
    return sorted(
        table.to_dict("records"),
        key=lambda row: (place.get(row["method"], len(place)), kinds.index(row["queries"])),
    )


def removal_table(summary: Any) -> list[dict[str, Any]]:
    """One row per k and method, the strongest first, references last.

    Args:
        summary: ``removal/summary.csv``; None or empty without a removal experiment.

    Returns:
        Dictionaries with k, method, reference (bool), measures {name: {mean, excess, lo, hi}},
        queries, sets.
    """
    if summary is None or not len(summary):
        return []
    rows: dict[tuple[float, str], dict[str, Any]] = {}
    for row in summary.to_dict("records"):
        if pages.missing(row["mean"]):
            continue
        new = {
            "k": row["k"],
            "method": row["method"],
            "reference": row["method"] in REFERENCES,
            "measures": {},
            "queries": int(row["queries"]),
            "sets": int(row["sets"]),
        }
        entry = rows.setdefault((row["k"], row["method"]), new)
        entry["measures"][row["measure"]] = {
            name: row[name] for name in ("mean", "excess", "lo", "hi")
        }

    def rank(row: dict[str, Any]) -> tuple[Any, ...]:
        # a null model has no k, and stands after the largest k
        effect = row["measures"].get("loss_change", {}).get("mean", 0.0)
        return (
            math.inf if pages.missing(row["k"]) else row["k"],
            row["reference"],
            -effect,
            row["method"],
        )

    return sorted(rows.values(), key=rank)


def _random_sets(rows: list[dict[str, Any]]) -> list[int]:
    """All different numbers of random sets per k, ascending."""
    return sorted({row["sets"] for row in rows if row["method"] == "random"})


def _undefined_by_design(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Methods that can't rank the subsets: stratified ones have equally many of each class."""
    stratified = settings.get("subsets", {}).get("stratify", False)
    return ("class_match",) if stratified else ()


def _measures(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measures with numbers; ``digits`` shows three significant figures of the largest."""
    present = []
    for name, title in MEASURES.items():
        sizes = [abs(row["measures"][name]["mean"]) for row in rows if name in row["measures"]]
        if sizes:
            digits = 2 - math.floor(math.log10(max(*sizes, 1e-9)))
            present.append({"name": name, "title": title, "digits": min(max(digits, 0), 8)})
    return present


def flatten(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Nested settings as groups of (dotted key, value), in the file's order.

    Settings outside of sections come first, as the group ``experiment``.
    """
    loose = [(key, value) for key, value in settings.items() if not isinstance(value, Mapping)]
    groups = (
        [{"name": "experiment", "rows": [(key, pages.plain(value)) for key, value in loose]}]
        if loose
        else []
    )
    for name, value in settings.items():
        if isinstance(value, Mapping):
            groups.append({"name": name, "rows": list(_leaves(value, ""))})
    return groups


def _leaves(value: Any, prefix: str) -> Iterable[tuple[str, str]]:
    if not isinstance(value, Mapping) or not value:
        yield prefix or pages.NOTHING, pages.plain(value)
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
