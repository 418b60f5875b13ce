"""The tables and figures of docs/findings.md, from results: ``python -m dasbench.findings``.

Results are no part of the repository, a page that quotes them is. What a table of the page shows
is kept in full under ``reference/findings/``; the page's tables are made from these files alone,
which a test repeats. A study that has no results here keeps what the repository has of it.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dasbench import acceleration, artifacts, command, tables, timings
from dasbench.errors import UserError
from dasbench.layout import KINDS, TARGETS

PAGE, KEPT, FIGURES = "docs/findings.md", "reference/findings", "docs/figures"
HEADINGS = {"val": "held-out images", "gen": "generated images"}
PAIR = {"pair": "difference", "target": "target"}
SENSES = {
    "chosen_on_tuning": "tuning data",
    "at_equal_lds": "hindsight: difference at least 0",
    "not_worse": f"hindsight: and its interval above {-100 * acceleration.MARGIN:g}",
}


class Table(NamedTuple):
    """One table of the page.

    Attributes:
        source: The results behind it, below ``results/``; kept as ``reference/findings/<kept>``.
        kept: File name of the copy.
        shown: Makes Markdown of it.
        read: Makes a table of the results.
    """

    source: str
    kept: str
    shown: Callable[[pd.DataFrame], str]
    read: Callable[[Path], pd.DataFrame] = tables.load_table


def spent(manifest: Path) -> pd.DataFrame:
    """What an experiment cost, in one row.

    Args:
        manifest: ``results/<experiment>/provenance.json``, with ``runtimes.json`` beside it.

    Returns:
        experiment, jobs, job_hours (sum over jobs), wall_hours (while at least one job ran),
        peak_mb of the largest job.
    """
    made = artifacts.load_json(manifest)
    times = artifacts.load_json(manifest.with_name("runtimes.json"))
    jobs = timings.jobs(made, times)
    row = {
        "experiment": manifest.parent.name,
        "jobs": len(jobs),
        "job_hours": (jobs.end - jobs.start).sum() / 3600,
        "wall_hours": timings.elapsed(made, times) / 3600,
        "peak_mb": jobs.peak_mb.max(),
    }
    return pd.DataFrame([row])


def cheapest(found: Path) -> pd.DataFrame:
    """What was as good as the reference, from ``cost-speedup.json``.

    Args:
        found: From ``acceleration.speedups``.

    Returns:
        wanted (kind of query, or both), sense, method ("none" where there is none), speedup,
        queries, difference, lo, hi (paired, on evaluation data), reference.
    """
    made, rows = artifacts.load_json(found), []
    none = {"method": "none", "speedup": None, "difference": dict.fromkeys(KINDS, [None] * 3)}
    for wanted in (*KINDS, "both"):
        for sense in SENSES:
            best = made["speedup"][wanted][sense] or none
            head = [wanted, sense, best["method"], best["speedup"]]
            rows += [[*head, kind, *values] for kind, values in best["difference"].items()]
    columns = ["wanted", "sense", "method", "speedup", "queries", "difference", "lo", "hi"]
    return pd.DataFrame(rows, columns=columns).assign(reference=made["reference"])


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


def gains(table: pd.DataFrame) -> str:
    """The gain of one method over another, shared among the choices in which they differ."""
    chosen = table[table.order.isin(["all", "shapley"]) & (table.target == "loss")]
    keys = {"before": "from", "after": "to", "switch": "choice", "from": "was", "to": "becomes"}
    return _across(chosen, keys, _difference)


def front(table: pd.DataFrame) -> str:
    """The Pareto front of seconds against LDS."""
    chosen = table[table.front.astype(bool)].sort_values(["queries", "seconds"], ascending=[0, 1])
    rows = [
        [HEADINGS[row.queries], f"`{row.method}`", f"{row.seconds:.2f}", f"{row.speedup:.0f}"]
        + [interval(row, "lds")]
        for _, row in chosen.iterrows()
    ]
    return markdown(["queries", "configuration", "seconds", "times cheaper", "LDS"], rows)


def speedup(table: pd.DataFrame) -> str:
    """The cheapest configuration that is as good as the reference, and its paired difference."""
    told = _quoted(table).replace({"wanted": HEADINGS, "sense": SENSES})
    told["speedup"] = [number(value, ".1f") for value in table.speedup]
    keys = {"wanted": "as good on", "sense": "by", "method": "configuration"}
    keys["speedup"] = f"times cheaper than `{table.reference[0]}`"
    return _across(told, keys, _difference)


def removal(table: pd.DataFrame) -> str:
    """What removing the highest-scored images does beyond removing random ones."""
    names = {"loss_change": "loss, above random", "image_l2": "image, above random"}

    def cells(row: pd.Series) -> list[str]:
        form = ".4f" if row.measure == "loss_change" else ".3f"
        mean, excess, lo, hi = (format(row[name], form) for name in ("mean", "excess", "lo", "hi"))
        return [f"{mean} in the mean" if pd.isna(row.excess) else f"{excess} ({lo} to {hi})"]

    keys = {"method": "removed by", "k": "images"}
    return _across(_quoted(table), keys, cells, by="measure", names=names)


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


LOSS, DISPLACEMENT = (functools.partial(main_table, target=target) for target in TARGETS)
TABLES = {
    "methods-loss": Table("digits/lds/table.csv", "methods.csv", LOSS),
    "methods-displacement": Table("digits/lds/table.csv", "methods.csv", DISPLACEMENT),
    "transforms": Table("digits/lds/table.csv", "methods.csv", transforms),
    "ceiling": Table("digits/lds/ceiling.csv", "ceiling.csv", ceilings),
    "primary": Table("digits/lds/comparisons.csv", "primary.csv", primary),
    "main-effects": Table("ablation/ablation/main_effects.csv", "main_effects.csv", main_effects),
    "gains": Table("ablation/ablation/gains.csv", "gains.csv", gains),
    "front": Table("acceleration/cost-quality.csv", "cost-quality.csv", front),
    "speedup": Table("acceleration/cost-speedup.json", "cost-speedup.csv", speedup, cheapest),
    "removal": Table("removals/removal/summary.csv", "removal.csv", removal),
    "replicates": Table("digits/replicates/summary.csv", "replicates.csv", replicates),
    "replicate-comparisons": Table(
        "digits/replicates/comparisons.csv", "replicate-comparisons.csv", replicate_comparisons
    ),
    "by-models": Table("digits/lds/by_models.csv", "by_models.csv", by_models),
    "search": Table("search/search/tuning.csv", "search.csv", search),
}
for _name in ("fashion", "emoji"):
    _lds = f"{_name}/lds"
    TABLES |= {
        f"{_name}-loss": Table(f"{_lds}/table.csv", f"{_name}.csv", LOSS),
        f"{_name}-displacement": Table(f"{_lds}/table.csv", f"{_name}.csv", DISPLACEMENT),
        f"{_name}-transforms": Table(f"{_lds}/table.csv", f"{_name}.csv", transforms),
        f"{_name}-ceiling": Table(f"{_lds}/ceiling.csv", f"{_name}-ceiling.csv", ceilings),
        f"{_name}-primary": Table(f"{_lds}/comparisons.csv", f"{_name}-primary.csv", primary),
        f"{_name}-removal": Table(f"{_name}/removal/summary.csv", f"{_name}-removal.csv", removal),
        f"{_name}-cost": Table(f"{_name}/provenance.json", f"{_name}-cost.csv", bill, spent),
    }
PICTURES = {
    "lds.svg": "digits/figures/lds-loss.svg",
    "lds-by-models.svg": "digits/figures/lds-by-models.svg",
    "main-effects.svg": "ablation/figures/ablation-effects.svg",
    "gains.svg": "ablation/figures/ablation-gains.svg",
    "cost-quality.svg": "acceleration/figures/cost-quality.svg",
    "removal.svg": "removals/figures/removal.svg",
    "fashion-samples.png": "fashion/figures/samples.png",
    "fashion-lds.svg": "fashion/figures/lds-loss.svg",
    "fashion-neighbours.png": "fashion/figures/neighbours-val.png",
    "emoji-samples.png": "emoji/figures/samples.png",
    "emoji-lds.svg": "emoji/figures/lds-loss.svg",
    "emoji-neighbours.png": "emoji/figures/neighbours-val.png",
}


def collect(root: Path) -> list[str]:
    """Copy what results there are of the studies: tables with six decimals, and figures.

    Returns:
        Names of the files written.
    """
    written = []
    for table in TABLES.values():
        source = root / "results" / table.source
        # what a run cost is known at its end
        done = table.read is not spent or source.with_name("report.html").is_file()
        if source.is_file() and done and table.kept not in written:
            (root / KEPT).mkdir(parents=True, exist_ok=True)
            tables.save_table(root / KEPT / table.kept, table.read(source).round(6))
            written.append(table.kept)
    for name, path in PICTURES.items():
        source = root / "results" / path
        if source.is_file():
            (root / FIGURES).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / FIGURES / name)
            written.append(name)
    return written


def blocks(page: str) -> list[str]:
    """Names of the tables that a page asks for, in its order."""
    begun = [part.split(":begin -->")[0] for part in page.split("<!-- ")[1:] if ":begin" in part]
    return [name.strip() for name in begun]


def fill(page: str, root: Path) -> str:
    """The page with every table made anew from ``reference/findings/``.

    Raises:
        UserError: If the page asks for a table that does not exist.
    """
    for name in blocks(page):
        if name not in TABLES:
            raise UserError(f"{PAGE}: there is no table {name}; known: {', '.join(TABLES)}")
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        before, _, rest = page.partition(begin)
        table = TABLES[name]
        shown = table.shown(tables.load_table(root / KEPT / table.kept))
        page = f"{before}{begin}{shown}\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    """Renew docs/findings.md."""
    root = Path.cwd()
    for name in collect(root):
        print(name)
    page = root / PAGE
    filled = fill(page.read_text(encoding="utf-8"), root)
    with artifacts.atomic(page) as temporary:
        temporary.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    command.main(main)
