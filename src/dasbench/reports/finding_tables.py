"""Tables of docs/findings.md in Markdown: each of one file of ``reference/findings/``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from dasbench.core.query_kinds import KINDS
from dasbench.evaluation import cost_quality

HEADINGS = {"val": "held-out images", "gen": "generated images"}
PAIR = {"pair": "difference", "target": "target"}
SENSES = {
    "chosen_on_tuning": "tuning data",
    "at_equal_lds": "hindsight: difference at least 0",
    "not_worse": f"hindsight: and its interval above {-100 * cost_quality.MARGIN:g}",
}


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float, form: str) -> str:
    """A number in a format; a dash for one that does not exist."""
    return "–" if pd.isna(value) else format(value, form)


def percent(value: float) -> str:
    """A fraction times 100 with one decimal; a dash for a number that does not exist."""
    return number(value, ".1%").removesuffix("%")


def interval(row: pd.Series, name: str) -> str:
    """``54.4 (49.0 to 58.1)``."""
    shown = percent(row[name])
    return shown if pd.isna(row["lo"]) else f"{shown} ({percent(row.lo)} to {percent(row.hi)})"


def _across(
    table: pd.DataFrame,
    keys: Mapping[str, str],
    cells: Callable[[pd.Series], list[str]],
    further: Iterable[str] = (),
    absent: str = "",
    by: str = "queries",
    names: Mapping[str, str] = HEADINGS,
) -> str:
    """A row for each combination of keys (column -> heading), with cells for each kind of query.

    ``further`` are the headings of the cells after the first, ``absent`` is the first where there
    is no row. Another column than the kind of query: ``by``, with headings of its values.
    """
    blank, rows = [absent, *("" for _ in further)], []
    for key, part in table.groupby(list(keys), sort=False):
        found = {row[by]: cells(row) for _, row in part.iterrows()}
        rows.append([*map(str, key), *(cell for name in names for cell in found.get(name, blank))])
    head = [heading for name in names.values() for heading in (name, *further)]
    return markdown([*keys.values(), *head], rows)


def _difference(row: pd.Series) -> list[str]:
    return [interval(row, "difference")]


def _mean(row: pd.Series, *more: str) -> list[str]:
    return [percent(row["mean"]), f"{percent(row.lowest)} to {percent(row.highest)}", *more]


def _quoted(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(method="`" + table.method + "`")


def _ranked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Methods by their mean over kinds of query, the highest first."""
    means = table.groupby("method")[name].transform("mean")
    return _quoted(table).loc[means.sort_values(ascending=False, kind="stable").index]


def _paired(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(pair="`" + table.a + "` - `" + table.b + "`")


def main_table(table: pd.DataFrame, target: str) -> str:
    """Every method under its own transform: held-out damping, oracle, fraction of the ceiling."""
    own = table[table.own.astype(bool) & (table.target == target)]
    oracle = own[own.selection == "oracle"].set_index(["method", "queries"]).lds.rename("oracle")
    held = own[own.selection == "held_out"].join(oracle, on=["method", "queries"])

    def cells(row: pd.Series) -> list[str]:
        best = "" if pd.isna(row.oracle) else percent(row.oracle)  # none without a damping
        lds = interval(row, "lds") + " edge" * bool(row.edge)
        return [lds, best, number(row.fraction, ".2f")]

    keys, further = {"method": "method", "transform": "transform"}, ["oracle", "of the ceiling"]
    return _across(_ranked(held, "lds"), keys, cells, further, "does not apply")


def primary(table: pd.DataFrame) -> str:
    """The comparisons that were fixed beforehand, at held-out dampings, for both targets."""
    chosen = table[(table.kind == "primary") & (table.selection == "held_out")]
    return _across(_paired(chosen), PAIR, _difference, absent="does not apply")


def ceilings(table: pd.DataFrame) -> str:
    """What a perfect predictor of the subset means would reach, for both targets."""
    return _across(table, {"target": "ceiling"}, lambda row: [interval(row, "ceiling")])


def bill(table: pd.DataFrame) -> str:
    """Jobs, hours and memory of an experiment."""
    forms = {"jobs": "d", "job_hours": ".2f", "wall_hours": ".2f", "peak_mb": ".0f"}
    rows = [
        [f"`{row.experiment}`", *(number(row[name], form) for name, form in forms.items())]
        for _, row in table.iterrows()
    ]
    head = ["experiment", "jobs", "hours of jobs", "hours of wall time", "MB of the largest job"]
    return markdown(head, rows)


def transforms(table: pd.DataFrame) -> str:
    """Held-out LDS of every method under each of the transforms, loss target."""
    chosen = table[(table.target == "loss") & (table.selection == "held_out")]
    names = list(dict.fromkeys(chosen["transform"]))
    wide = chosen.pivot_table(index="method", columns=["queries", "transform"], values="lds")
    order = wide["val"].max(axis=1).fillna(wide["gen"].max(axis=1)).sort_values(ascending=False)
    head = ["method", *(f"{HEADINGS[kind]}: {name}" for kind in KINDS for name in names)]
    rows = [
        [f"`{m}`", *(percent(wide.loc[m].get((kind, name))) for kind in KINDS for name in names)]
        for m in order.index
    ]
    return markdown(head, rows)


def main_effects(table: pd.DataFrame) -> str:
    """Each choice against the first level of its axis, over all others and within DAS."""
    keys = {"scope": "others", "factor": "choice", "level": "level", "reference": "against"}
    chosen = table[(table.target == "loss") & table.scope.isin(["all", "das", "das_common"])]
    return _across(chosen, keys, _difference)


def cells(table: pd.DataFrame) -> str:
    """Some cells of the ablation: readout, noise, kernel and transform."""
    names = ("readout", "noise", "kernel", "transform")
    return _across(table, {name: name for name in names}, lambda row: [interval(row, "lds")])


def gains(table: pd.DataFrame) -> str:
    """The gain of one method over another, shared among the choices in which they differ."""
    chosen = table[table.order.isin(["all", "shapley"]) & (table.target == "loss")]
    keys = {"before": "from", "after": "to", "switch": "choice", "from": "was", "to": "becomes"}
    return _across(chosen, keys, _difference)


def costs(table: pd.DataFrame) -> str:
    """Seconds and LDS of every configuration, the cheapest first; bold on the Pareto front."""

    def cells(row: pd.Series) -> list[str]:
        shown = interval(row, "lds")
        return [f"**{shown}**" if row.front else shown]

    told = _quoted(table).sort_values(["seconds", "method"], kind="stable")
    told["seconds"] = [f"{value:.2f}" for value in table.seconds[told.index]]
    told["speedup"] = [f"{value:.3g}" for value in table.speedup[told.index]]
    keys = {"method": "configuration", "seconds": "seconds", "speedup": "times cheaper"}
    return _across(told, keys, cells)


def speedup(table: pd.DataFrame) -> str:
    """The cheapest configuration that is as good as the reference, and its paired difference."""
    told = _quoted(table).replace({"wanted": HEADINGS, "sense": SENSES})
    told["speedup"] = [number(value, ".1f") for value in table.speedup]
    keys = {"wanted": "as good on", "sense": "by", "method": "configuration"}
    keys["speedup"] = f"times cheaper than `{table.reference[0]}`"
    return _across(told, keys, _difference)


MEASURES = {"loss_change": "loss", "image_l2": "image"}


def _changed(row: pd.Series, name: str) -> list[str]:
    """``0.0047 (0.0022 to 0.0067)``: losses with four decimals, images with three."""
    form = ".4f" if row.measure == "loss_change" else ".3f"
    if pd.isna(row[name]):
        return [f"{row['mean']:{form}} in the mean"]
    return [f"{row[name]:{form}} ({row.lo:{form}} to {row.hi:{form}})"]


def removal(table: pd.DataFrame) -> str:
    """What removing the highest-scored images does beyond removing random ones."""
    names = {measure: f"{name}, above random" for measure, name in MEASURES.items()}
    keys = {"method": "removed by", "k": "images"}
    cells = functools.partial(_changed, name="excess")
    return _across(_quoted(table), keys, cells, by="measure", names=names)


def removal_pairs(table: pd.DataFrame) -> str:
    """What a method's removals do more than another's, for the same queries."""
    keys = {"pair": "difference", "k": "images"}
    cells = functools.partial(_changed, name="difference")
    return _across(_paired(table), keys, cells, by="measure", names=MEASURES)


def replicates(table: pd.DataFrame) -> str:
    """Mean and spread of every method over base models and draws of features."""
    chosen = table[(table.target == "loss") & (table.selection == "held_out")]
    return _across(
        _ranked(chosen, "mean"),
        {"method": "method"},
        lambda row: _mean(row, percent(row.sd_features), percent(row.sd_base)),
        ["lowest to highest", "sd of features", "sd of base models"],
    )


def replicate_comparisons(table: pd.DataFrame) -> str:
    """Primary differences over the replicates, and in how many of them a is above b."""
    ordered = _paired(table).sort_values("target", ascending=False, kind="stable")  # loss first
    return _across(
        ordered,
        PAIR,
        lambda row: _mean(row, f"{row.positive} of {row.replicates}"),
        ["lowest to highest", "above 0"],
    )


def by_models(table: pd.DataFrame) -> str:
    """Width of the interval against the number of evaluation subsets, mean over the methods."""
    mean = table[table.target == "loss"].groupby(["models", "queries"], as_index=False).width.mean()
    names, keys = {k: f"width, {v}" for k, v in HEADINGS.items()}, {"models": "subset models"}
    return _across(mean, keys, lambda row: [percent(row.width)], absent="–", names=names)


def search(table: pd.DataFrame) -> str:
    """The first candidates by mean LDS on tuning subsets and queries; what they are to beat."""
    first = table.groupby(["method", "transform"], sort=False).ngroup().lt(15)
    best = table[first | (table.method.eq("das_common") & table.own.astype(bool))]
    told = _quoted(best).assign(mean=best.mean_lds.map(percent))
    keys = {"method": "candidate", "transform": "transform", "mean": "mean"}
    return _across(told, keys, lambda row: [percent(row.lds)], absent="–")
