"""The tables and figures of docs/findings.md, from results: ``python -m dasbench.findings``.

Results are no part of the repository, a page that quotes them is. What a table of the page shows
is kept in full under ``reference/findings/``; the page's tables are made from these files alone,
which a test repeats. A study that has no results here keeps what the repository has of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dasbench import artifacts, command, tables, timings
from dasbench.errors import UserError
from dasbench.layout import KINDS

PAGE, KEPT, FIGURES = "docs/findings.md", "reference/findings", "docs/figures"
HEADINGS = {"val": "held-out images", "gen": "generated images"}


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
    made, times = (
        artifacts.load_json(path) for path in (manifest, manifest.with_name("runtimes.json"))
    )
    jobs = timings.jobs(made, times)
    row = {
        "experiment": manifest.parent.name,
        "jobs": len(jobs),
        "job_hours": (jobs.end - jobs.start).sum() / 3600,
        "wall_hours": timings.elapsed(made, times) / 3600,
        "peak_mb": jobs.peak_mb.max(),
    }
    return pd.DataFrame([row])


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(value: float) -> str:
    """A fraction times 100 with one decimal; a dash for a number that does not exist."""
    return "–" if pd.isna(value) else f"{100 * value:.1f}"


def interval(row: pd.Series, name: str) -> str:
    """``54.4 (49.0 to 58.1)``."""
    shown = percent(row[name])
    return shown if pd.isna(row["lo"]) else f"{shown} ({percent(row.lo)} to {percent(row.hi)})"


def main_table(target: str) -> Callable[[pd.DataFrame], str]:
    """Every method under its own transform: held-out damping, oracle, fraction of the ceiling."""

    def shown(table: pd.DataFrame) -> str:
        own = table[table.own.astype(bool) & (table.target == target)]
        keys = ["method", "queries", "selection"]
        cells = dict(own.set_index(keys).iterrows())
        means = own[own.selection == "held_out"].groupby("method", sort=False).lds.mean()
        head = ["method", "transform"]
        for kind in KINDS:
            head += [HEADINGS[kind], "oracle", "of the ceiling"]
        rows = []
        for method in means.sort_values(ascending=False, kind="stable").index:
            row = [f"`{method}`", own[own.method == method]["transform"].iloc[0]]
            for kind in KINDS:
                held = cells.get((method, kind, "held_out"))
                if held is None:
                    row += ["does not apply", "", ""]
                    continue
                best = cells.get((method, kind, "oracle"))  # none without a damping
                row.append(interval(held, "lds") + " edge" * bool(held.edge))
                row.append("" if best is None else percent(best.lds))
                row.append("–" if pd.isna(held.fraction) else f"{held.fraction:.2f}")
            rows.append(row)
        return markdown(head, rows)

    return shown


def primary(table: pd.DataFrame) -> str:
    """The comparisons that were fixed beforehand, at held-out dampings, for both targets."""
    chosen = table[(table.kind == "primary") & (table.selection == "held_out")]
    rows = []
    for (a, b, target), part in chosen.groupby(["a", "b", "target"], sort=False):
        by = {row.queries: interval(row, "difference") for _, row in part.iterrows()}
        rows.append([f"`{a}` - `{b}`", target, *(by.get(kind, "does not apply") for kind in KINDS)])
    return markdown(["difference", "target", *(HEADINGS[kind] for kind in KINDS)], rows)


def ceilings(table: pd.DataFrame) -> str:
    """What a perfect predictor of the subset means would reach, for both targets."""
    rows = []
    for target, part in table.groupby("target", sort=False):
        by = {row.queries: interval(row, "ceiling") for _, row in part.iterrows()}
        rows.append([target, *(by.get(kind, "") for kind in KINDS)])
    return markdown(["ceiling", *(HEADINGS[kind] for kind in KINDS)], rows)


def bill(table: pd.DataFrame) -> str:
    """Jobs, hours and memory of an experiment."""
    rows = [
        [
            f"`{row.experiment}`",
            str(row.jobs),
            f"{row.job_hours:.2f}",
            f"{row.wall_hours:.2f}",
            "–" if pd.isna(row.peak_mb) else f"{row.peak_mb:.0f}",
        ]
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


def _across(table: pd.DataFrame, keys: list[str], name: str, head: list[str]) -> str:
    """One row for each combination of keys, one column for each kind of query; loss target."""
    chosen = table[table.target == "loss"]
    rows = []
    for key, part in chosen.groupby(keys, sort=False):
        by_kind = {row.queries: interval(row, name) for _, row in part.iterrows()}
        rows.append([*map(str, key), *(by_kind.get(kind, "") for kind in KINDS)])
    return markdown([*head, *(HEADINGS[kind] for kind in KINDS)], rows)


def main_effects(table: pd.DataFrame) -> str:
    """Each choice against the first level of its axis, over all others and within two methods."""
    keys = ["scope", "factor", "level", "reference"]
    return _across(table, keys, "difference", ["others", "choice", "level", "against"])


def gains(table: pd.DataFrame) -> str:
    """The gain of one method over another, shared among the choices in which they differ."""
    chosen = table[table.order.isin(["all", "shapley"])]
    keys = ["before", "after", "switch", "from", "to"]
    return _across(chosen, keys, "difference", ["from", "to", "choice", "was", "becomes"])


def front(table: pd.DataFrame) -> str:
    """The Pareto front of seconds against LDS."""
    chosen = table[table.front.astype(bool)].sort_values(["queries", "seconds"], ascending=[0, 1])
    rows = [
        [
            HEADINGS[row.queries],
            f"`{row.method}`",
            f"{row.seconds:.2f}",
            f"{row.speedup:.0f}",
            interval(row, "lds"),
        ]
        for _, row in chosen.iterrows()
    ]
    return markdown(["queries", "configuration", "seconds", "times cheaper", "LDS"], rows)


def removal(table: pd.DataFrame) -> str:
    """What removing the highest-scored images does beyond removing random ones."""
    rows = []
    for (method, k), part in table.groupby(["method", "k"], sort=False):
        by = {row.measure: row for _, row in part.iterrows()}
        row = [f"`{method}`", f"{k:g}"]
        for measure, digits in (("loss_change", 4), ("image_l2", 3)):
            found = by.get(measure)
            if found is None:
                row.append("")
            elif pd.isna(found.excess):
                row.append(f"{found['mean']:.{digits}f} in the mean")
            else:
                row.append(
                    f"{found.excess:.{digits}f} ({found.lo:.{digits}f} to {found.hi:.{digits}f})"
                )
        rows.append(row)
    return markdown(["removed by", "images", "loss, above random", "image, above random"], rows)


def replicates(table: pd.DataFrame) -> str:
    """Mean and spread of every method over base models and draws of features."""
    chosen = table[(table.target == "loss") & (table.selection == "held_out")]
    head = ["method"]
    for kind in KINDS:
        head += [HEADINGS[kind], "lowest to highest", "sd of features", "sd of base models"]
    wide = dict(chosen.set_index(["method", "queries"]).iterrows())
    order = chosen.groupby("method")["mean"].mean().sort_values(ascending=False)
    rows = []
    for method in order.index:
        row = [f"`{method}`"]
        for kind in KINDS:
            found = wide.get((method, kind))
            if found is None:
                row += [""] * 4
                continue
            spread = f"{percent(found.lowest)} to {percent(found.highest)}"
            row += [percent(found["mean"]), spread]
            row += [percent(found.sd_features), percent(found.sd_base)]
        rows.append(row)
    return markdown(head, rows)


def by_models(table: pd.DataFrame) -> str:
    """Width of the interval against the number of evaluation subsets, mean over the methods."""
    chosen = table[table.target == "loss"]
    rows = []
    for models, part in chosen.groupby("models"):
        means = part.groupby("queries").width.mean()
        rows.append([str(models), *(percent(means.get(kind)) for kind in KINDS)])
    return markdown(["subset models", *(f"width, {HEADINGS[kind]}" for kind in KINDS)], rows)


def search(table: pd.DataFrame) -> str:
    """Candidates by their mean LDS on tuning subsets and tuning queries."""
    best = table.drop_duplicates(["method", "transform", "queries"])
    rows = []
    for (method, transform), part in best.groupby(["method", "transform"], sort=False):
        by = part.set_index("queries").lds
        row = [f"`{method}`", transform, percent(part.mean_lds.iloc[0])]
        rows.append([*row, *(percent(by.get(kind)) for kind in KINDS)])
    return markdown(["candidate", "transform", "mean", *(HEADINGS[k] for k in KINDS)], rows[:15])


TABLES = {
    "methods-loss": Table("digits/lds/table.csv", "methods.csv", main_table("loss")),
    "methods-displacement": Table(
        "digits/lds/table.csv", "methods.csv", main_table("displacement")
    ),
    "transforms": Table("digits/lds/table.csv", "methods.csv", transforms),
    "ceiling": Table("digits/lds/ceiling.csv", "ceiling.csv", ceilings),
    "primary": Table("digits/lds/comparisons.csv", "primary.csv", primary),
    "main-effects": Table("ablation/ablation/main_effects.csv", "main_effects.csv", main_effects),
    "gains": Table("ablation/ablation/gains.csv", "gains.csv", gains),
    "front": Table("acceleration/cost-quality.csv", "cost-quality.csv", front),
    "removal": Table("removals/removal/summary.csv", "removal.csv", removal),
    "replicates": Table("digits/replicates/summary.csv", "replicates.csv", replicates),
    "by-models": Table("digits/lds/by_models.csv", "by_models.csv", by_models),
    "search": Table("search/search/tuning.csv", "search.csv", search),
}
for _name in ("fashion", "emoji"):
    _lds = f"{_name}/lds"
    TABLES |= {
        f"{_name}-loss": Table(f"{_lds}/table.csv", f"{_name}.csv", main_table("loss")),
        f"{_name}-displacement": Table(
            f"{_lds}/table.csv", f"{_name}.csv", main_table("displacement")
        ),
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
