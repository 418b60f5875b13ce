"""The tables of docs/findings.md and docs/attribute.md: source, rows and cells of each.

A *form* says how a table shows its records (``dasbench.reports.markdown_tables``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dasbench.attribution.transforms import TRANSFORMS
from dasbench.core import artifacts, tables
from dasbench.core.query_kinds import KINDS
from dasbench.evaluation import cost_quality, removal
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.reports import cost_page, default_methods, pages
from dasbench.reports.markdown_tables import Cell, Column, Form, interval, number

HEADINGS = {"val": "held-out images", "gen": "generated images"}
SENSES = {
    "chosen_on_tuning": "tuning data",
    "at_equal_lds": "hindsight: difference at least 0",
    "not_worse": f"hindsight: and its interval above {-100 * cost_quality.MARGIN:g}",
}


def by_kind(cell: Cell, absent: str = "", more: Mapping[str, Cell] | None = None) -> list[Column]:
    """A column for each kind of query.

    Args:
        cell: Templates of its cells.
        absent: Text where a row has no record for the kind of query.
        more: heading -> cell of further columns, repeated behind each column.
    """
    columns = []
    for kind, heading in HEADINGS.items():
        columns.append(Column(heading, cell, {"queries": kind}, absent))
        columns += [Column(name, part, {"queries": kind}) for name, part in (more or {}).items()]
    return columns


def _ranked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Methods by their mean over kinds of query, the highest first."""
    means = table.groupby("method")[name].transform("mean")
    return table.loc[means.sort_values(ascending=False, kind="stable").index]


def _beyond(table: pd.DataFrame) -> pd.DataFrame:
    """Ranked by the partial LDS; one that is undefined for every query is absent, not 0."""
    ranked = _ranked(table, "partial")
    for name in ("partial", "partial_class"):
        void = ranked[f"{name}_undefined"] >= ranked["Q"]
        ranked.loc[void, [name, f"{name}_lo", f"{name}_hi"]] = np.nan
    return ranked


def _with_oracle(table: pd.DataFrame) -> pd.DataFrame:
    """Held-out records, ranked, with the oracle's LDS; a mark if the damping ends the grid."""
    oracle = table[table.selection == "oracle"].set_index(["method", "queries"]).lds
    held = table[table.selection == "held_out"].join(
        oracle.rename("oracle"), on=["method", "queries"]
    )
    return _ranked(held.assign(mark=np.where(held.edge.astype(bool), " edge", "")), "lds")


def _by_best(table: pd.DataFrame) -> pd.DataFrame:
    """Methods by their best transform on held-out images, else on generated ones."""
    best = table.pivot_table(index="method", columns="queries", values="lds", aggfunc="max")
    best = best.reindex(columns=list(KINDS))
    order = best["val"].fillna(best["gen"]).sort_values(ascending=False).index
    return table.set_index("method", drop=False).loc[order]


def _cheapest_first(table: pd.DataFrame) -> pd.DataFrame:
    """Records by seconds; those on the front of cost and quality are bold."""
    table = table.assign(bold=np.where(table.front, "**", ""))
    return table.sort_values(["seconds", "method"], kind="stable")


def _first(table: pd.DataFrame) -> pd.DataFrame:
    """The first 15 candidates, and the published score that they should beat."""
    first = table.groupby(["method", "transform"], sort=False).ngroup().lt(15)
    return table[first | (table.method.eq("das_common") & table.own.astype(bool))]


def _methods(target: str) -> Form:
    """Every method under its own transform: held-out damping, oracle, fraction of the ceiling."""
    more = {"oracle": ("{oracle:points}",), "of the ceiling": number("fraction", ".2f")}
    return Form(
        rows={"method": "`{method}`", "transform": "{transform}"},
        columns=by_kind(interval("lds", more="{mark}"), "does not apply", more),
        where={"own": [True], "target": [target]},
        prepare=_with_oracle,
    )


def _removed(name: str, pair: Mapping[str, str], heading: str = "") -> Form:
    """Changes of the loss with four decimals and of the image with three."""
    forms = {"loss_change": ("loss", ".4f"), "image_l2": ("image", ".3f")}
    columns = [
        Column(
            f"{measure}{heading}",
            (interval(name, form)[0], f"{{mean:{form}}} in the mean"),
            {"measure": key},
        )
        for key, (measure, form) in forms.items()
    ]
    return Form(rows={**pair, "images": "{k}"}, columns=columns)


HELD_OUT, LOSS = {"selection": ["held_out"]}, {"target": ["loss"]}
PAIR = {"difference": "`{a}` - `{b}`"}
DIFFERENCE = interval("difference")
RANGE = {"lowest to highest": ("{lowest:points} to {highest:points}",)}
METHODS_LOSS, METHODS_DISPLACEMENT = _methods("loss"), _methods("displacement")
PRIMARY = Form(
    rows={"difference": "`{a}` - `{b}`{mark}", "target": "{target}"},
    columns=by_kind(DIFFERENCE, "does not apply"),
    where={"kind": ["primary"], **HELD_OUT},
    # the page says what the mark means: the comparison was fixed after some results were known
    prepare=lambda table: table.assign(mark=np.where(table["fixed"].notna(), " †", "")),
)
CEILING = Form(rows={"ceiling": "{target}"}, columns=by_kind(interval("ceiling")))
BILL = Form(
    rows={
        "experiment": "`{experiment}`",
        "jobs": "{jobs:d}",
        "hours of jobs": number("job_hours", ".2f"),
        "hours of wall time": number("wall_hours", ".2f"),
        "MB of the largest job": number("peak_mb", ".0f"),
    }
)
BY_TRANSFORM = Form(
    rows={"method": "`{method}`"},
    columns=[
        Column(f"{heading}: {name}", number("lds"), {"queries": kind, "transform": name}, "–")
        for kind, heading in HEADINGS.items()
        for name in TRANSFORMS
    ],
    where=LOSS | HELD_OUT,
    prepare=_by_best,
)
BEYOND = Form(
    rows={"method": "`{method}`"},
    columns=by_kind(
        ("{partial:points} ({partial_lo:points} to {partial_hi:points})", "–"),
        "does not apply",
        {"LDS": number("lds"), "given the class": number("partial_class")},
    ),
    where={"own": [True], **LOSS, **HELD_OUT},
    prepare=_beyond,
)
HEIGHTS = Form(
    rows={"data set": "`{experiment}`", "score": "{side}"},
    columns=by_kind(interval("lds", more="; `{method}` {parameters}")),
    prepare=lambda table: table.assign(parameters=table["parameters"].map(pages.parameters)),
)
MAIN_EFFECTS = Form(
    rows={"others": "{scope}", "choice": "{factor}", "level": "{level}", "against": "{reference}"},
    columns=by_kind(DIFFERENCE),
    where={"scope": ["all", "das", "das_common"], **LOSS},
)
CELLS = Form(
    rows={name: f"{{{name}}}" for name in ("readout", "noise", "kernel", "transform")},
    columns=by_kind(interval("lds")),
)
GAINS = Form(
    rows={
        "from": "{before}",
        "to": "{after}",
        "choice": "{switch}",
        "was": "{from}",
        "becomes": "{to}",
    },
    columns=by_kind(DIFFERENCE),
    where={"order": ["all", "shapley"], **LOSS},
)
COSTS = Form(
    rows={
        "configuration": "`{method}`",
        "seconds": "{seconds:.2f}",
        "times cheaper": "{speedup:.3g}",
    },
    columns=by_kind([f"{{bold}}{interval('lds')[0]}{{bold}}"]),
    prepare=_cheapest_first,
)
SPEEDUP = Form(
    rows={
        "as good on": "{wanted}",
        "by": "{sense}",
        "configuration": "`{method}`",
        "times cheaper than `{reference}`": number("speedup", ".1f"),
    },
    columns=by_kind(DIFFERENCE),
    prepare=lambda table: table.replace({"wanted": HEADINGS, "sense": SENSES}),
)
REMOVAL = _removed("excess", {"removed by": "`{method}`"}, ", above random")
REMOVAL_PAIRS = _removed("difference", PAIR)
REMOVAL_PRIMARY = replace(REMOVAL_PAIRS, where={"kind": ["primary"]})
REPLICATES = Form(
    rows={"method": "`{method}`"},
    columns=by_kind(
        ["{mean:points}"],
        more={
            **RANGE,
            "sd of features": number("sd_features"),
            "sd of base models": number("sd_base"),
        },
    ),
    where=LOSS | HELD_OUT,
    prepare=lambda table: _ranked(table, "mean"),
)
REPLICATE_PAIRS = Form(
    rows={**PAIR, "target": "{target}"},
    columns=by_kind(["{mean:points}"], more={**RANGE, "above 0": ["{positive} of {replicates}"]}),
    prepare=lambda table: table.sort_values("target", ascending=False, kind="stable"),  # loss first
)
BY_MODELS = Form(
    rows={"subset models": "{models}"},
    columns=[
        Column(f"width, {heading}", number("width"), {"queries": kind}, "–")
        for kind, heading in HEADINGS.items()
    ],
    where=LOSS,
    prepare=lambda table: table.groupby(["models", "queries"], as_index=False).width.mean(),
)
SEARCH = Form(
    rows={"candidate": "`{method}`", "transform": "{transform}", "mean": number("mean_lds")},
    columns=by_kind(number("lds"), "–"),
    prepare=_first,
)


def spent(manifest: Path) -> pd.DataFrame:
    """Jobs, hours and memory of an experiment, as one row.

    Args:
        manifest: ``results/<experiment>/provenance.json``, with ``runtimes.json`` beside it.

    Returns:
        experiment, jobs, job_hours (sum over jobs), wall_hours (while at least one job ran),
        peak_mb of the largest job.
    """
    outputs = artifacts.load_json(manifest)
    times = artifacts.load_json(manifest.with_name("runtimes.json"))
    jobs = cost_page.jobs(outputs, times)
    row = {
        "experiment": manifest.parent.name,
        "jobs": len(jobs),
        "job_hours": (jobs.end - jobs.start).sum() / 3600,
        "wall_hours": cost_page.elapsed(outputs, times) / 3600,
        "peak_mb": jobs.peak_mb.max(),
    }
    return pd.DataFrame([row])


def cheapest(speedups: Path) -> pd.DataFrame:
    """The configurations as good as the reference, from ``cost-speedup.json``.

    Args:
        speedups: From ``acceleration.speedups``.

    Returns:
        Columns wanted, sense, method, speedup, queries, difference, lo, hi, reference. ``wanted``
        is the kind of query on which the method is as good, or both; ``method`` is "none" if no
        method is as good. Differences and intervals are paired, on evaluation data.
    """
    result, rows = artifacts.load_json(speedups), []
    none = {"method": "none", "speedup": None, "difference": dict.fromkeys(KINDS, [None] * 3)}
    for goal in (*KINDS, "both"):
        for sense in SENSES:
            best = result["speedup"][goal][sense] or none
            head = [goal, sense, best["method"], best["speedup"]]
            rows += [[*head, kind, *values] for kind, values in best["difference"].items()]
    columns = ["wanted", "sense", "method", "speedup", "queries", "difference", "lo", "hi"]
    return pd.DataFrame(rows, columns=columns).assign(reference=result["reference"])


def without_factors(cells: Path) -> pd.DataFrame:
    """Cells of the ablation in the form of TRAK and of DAS's readout, without DAS's factors.

    Args:
        cells: ``cells.csv``, from ``scripts/summarise_ablation.py``.

    Returns:
        Cells of the target loss, at held-out dampings, without residual, leverage and
        normalisation; with the kernels averaged and per_t, and without signed squares.
    """
    table = tables.load_table(cells)
    kept = {
        "readout": ["loss", "mean"],
        "noise": ["keyed", "common"],
        "kernel": ["averaged", "per_t"],
        "transform": ["identity", "square"],
        "normalise": [False],
        "residual": ["none"],
        "leverage": [False],
        "target": ["loss"],
        "damping_rule": ["held_out"],
    }
    matching = table[table[list(kept)].isin(kept).all(axis=1)]
    return matching.sort_values(["readout", "noise"], ascending=[True, False], kind="stable")


def paired_removals(per_query: Path) -> pd.DataFrame:
    """Effect of each method's removals minus that of das_common's, for the same queries.

    Args:
        per_query: ``per_query.parquet``, from ``scripts/summarise_removal.py``.

    Returns:
        a, b (das_common), k, measure, difference (mean over queries), lo, hi: 95 % bootstrap
        intervals over queries, with the same 10 000 draws in every row.
    """
    rng, bootstrap = np.random.default_rng(0), Bootstrap(10_000)
    return removal.compare(tables.load_table(per_query), "das_common", rng, bootstrap)


class Table(NamedTuple):
    """One table of the page.

    Attributes:
        source: File of results, below ``results/``.
        kept: File name of the copy of the table in ``reference/findings/``.
        form: Rows and columns.
        read: Function from the file of results to the table.
    """

    source: str
    kept: str
    form: Form
    read: Callable[[Path], pd.DataFrame] = tables.load_table


def _of(name: str) -> dict[str, Table]:
    """The tables of an experiment on real images."""
    lds = f"{name}/lds"
    return {
        f"{name}-loss": Table(f"{lds}/table.csv", f"{name}.csv", METHODS_LOSS),
        f"{name}-displacement": Table(f"{lds}/table.csv", f"{name}.csv", METHODS_DISPLACEMENT),
        f"{name}-beyond": Table(f"{lds}/table.csv", f"{name}.csv", BEYOND),
        f"{name}-transforms": Table(f"{lds}/table.csv", f"{name}.csv", BY_TRANSFORM),
        f"{name}-ceiling": Table(f"{lds}/ceiling.csv", f"{name}-ceiling.csv", CEILING),
        f"{name}-primary": Table(f"{lds}/comparisons.csv", f"{name}-primary.csv", PRIMARY),
        f"{name}-removal": Table(f"{name}/removal/summary.csv", f"{name}-removal.csv", REMOVAL),
        f"{name}-cost": Table(f"{name}/provenance.json", f"{name}-cost.csv", BILL, spent),
    }


ABLATION, REMOVALS, REPLICATED = "ablation/ablation", "removals/removal", "digits/replicates"
# joined from several experiments, see ``dasbench.reports.floor_heights``
FLOORS = Table("", "floors.csv", HEIGHTS)
TABLES = {
    "floors": FLOORS,
    "default-methods": Table("", default_methods.KEPT, default_methods.FORM),
    "beyond": Table("digits/lds/table.csv", "methods.csv", BEYOND),
    "methods-loss": Table("digits/lds/table.csv", "methods.csv", METHODS_LOSS),
    "methods-displacement": Table("digits/lds/table.csv", "methods.csv", METHODS_DISPLACEMENT),
    "transforms": Table("digits/lds/table.csv", "methods.csv", BY_TRANSFORM),
    "ceiling": Table("digits/lds/ceiling.csv", "ceiling.csv", CEILING),
    "primary": Table("digits/lds/comparisons.csv", "primary.csv", PRIMARY),
    "main-effects": Table(f"{ABLATION}/main_effects.csv", "main_effects.csv", MAIN_EFFECTS),
    "gains": Table(f"{ABLATION}/gains.csv", "gains.csv", GAINS),
    "loss-cells": Table(f"{ABLATION}/cells.csv", "loss-cells.csv", CELLS, without_factors),
    "costs": Table("acceleration/cost-quality.csv", "cost-quality.csv", COSTS),
    "speedup": Table("acceleration/cost-speedup.json", "cost-speedup.csv", SPEEDUP, cheapest),
    "removal-pairs": Table(
        f"{REMOVALS}/per_query.parquet", "removal-pairs.csv", REMOVAL_PAIRS, paired_removals
    ),
    "removal": Table(f"{REMOVALS}/summary.csv", "removal.csv", REMOVAL),
    "replicates": Table(f"{REPLICATED}/summary.csv", "replicates.csv", REPLICATES),
    "replicate-comparisons": Table(
        f"{REPLICATED}/comparisons.csv", "replicate-comparisons.csv", REPLICATE_PAIRS
    ),
    "by-models": Table("digits/lds/by_models.csv", "by_models.csv", BY_MODELS),
    "search": Table("search/search/tuning.csv", "search.csv", SEARCH),
    **_of("fashion"),
    **_of("emoji"),
    **_of("digits_moved"),
    "digits_moved-removal-pairs": Table(
        "digits_moved/removal/comparisons.csv", "digits_moved-removal-pairs.csv", REMOVAL_PRIMARY
    ),
}
