"""The tables and figures of docs/findings.md, from results.

``python -m dasbench.reports.findings`` writes them.

Results are no part of the repository, a page that quotes them is. What a table of the page shows
is kept in full under ``reference/findings/``; the page's tables are made from these files alone,
which a test repeats. A study that has no results here keeps what the repository has of it.
"""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import KINDS, TARGETS
from dasbench.errors import UserError
from dasbench.evaluation import removal, statistics
from dasbench.reports import cost_page
from dasbench.reports import finding_tables as shown

PAGE, KEPT, FIGURES = "docs/findings.md", "reference/findings", "docs/figures"


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
    jobs = cost_page.jobs(made, times)
    row = {
        "experiment": manifest.parent.name,
        "jobs": len(jobs),
        "job_hours": (jobs.end - jobs.start).sum() / 3600,
        "wall_hours": cost_page.elapsed(made, times) / 3600,
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
        for sense in shown.SENSES:
            best = made["speedup"][wanted][sense] or none
            head = [wanted, sense, best["method"], best["speedup"]]
            rows += [[*head, kind, *values] for kind, values in best["difference"].items()]
    columns = ["wanted", "sense", "method", "speedup", "queries", "difference", "lo", "hi"]
    return pd.DataFrame(rows, columns=columns).assign(reference=made["reference"])


def without_factors(found: Path) -> pd.DataFrame:
    """Cells of the ablation in the form of TRAK and of DAS's readout, without DAS's factors.

    Args:
        found: ``cells.csv``, from ``scripts/summarise_ablation.py``.

    Returns:
        Those of the target loss at held-out dampings with no residual, leverage or normalisation;
        kernels averaged and per_t, signed squares left out.
    """
    table = tables.load_table(found)
    wanted = {
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
    chosen = table[table[list(wanted)].isin(wanted).all(axis=1)]
    return chosen.sort_values(["readout", "noise"], ascending=[True, False], kind="stable")


def paired_removals(found: Path) -> pd.DataFrame:
    """What each method's removals do more than those of das_common, for the same queries.

    Args:
        found: ``per_query.parquet``, from ``scripts/summarise_removal.py``.

    Returns:
        a, b (das_common), k, measure, difference (mean over queries), lo, hi: 95 % bootstrap
        intervals over queries, with the same 10 000 draws in every row.
    """
    table = tables.load_table(found)
    table = table[~table.method.isin(removal.ARMS)]
    rng, rows, base = np.random.default_rng(0), [], "das_common"
    counts = statistics.resample_counts(rng, 10_000, table["query"].nunique())
    for measure, (k, own) in itertools.product(("loss_change", "image_l2"), table.groupby("k")):
        part = own.pivot_table(index="query", columns="method", values=measure)
        means, drawn = part.mean(), counts @ part / len(part)  # of each method
        for name in part.columns.drop(base):
            pair = [name, base]
            told = statistics.paired_difference(tuple(means[pair]), *drawn[pair].to_numpy().T, 0.95)
            rows.append([*pair, int(k), measure, *told[:3]])
    return pd.DataFrame(rows, columns=["a", "b", "k", "measure", "difference", "lo", "hi"])


LOSS, DISPLACEMENT = (functools.partial(shown.main_table, target=target) for target in TARGETS)
TABLES = {
    "methods-loss": Table("digits/lds/table.csv", "methods.csv", LOSS),
    "methods-displacement": Table("digits/lds/table.csv", "methods.csv", DISPLACEMENT),
    "transforms": Table("digits/lds/table.csv", "methods.csv", shown.transforms),
    "ceiling": Table("digits/lds/ceiling.csv", "ceiling.csv", shown.ceilings),
    "primary": Table("digits/lds/comparisons.csv", "primary.csv", shown.primary),
    "main-effects": Table(
        "ablation/ablation/main_effects.csv", "main_effects.csv", shown.main_effects
    ),
    "gains": Table("ablation/ablation/gains.csv", "gains.csv", shown.gains),
    "loss-cells": Table(
        "ablation/ablation/cells.csv", "loss-cells.csv", shown.cells, without_factors
    ),
    "costs": Table("acceleration/cost-quality.csv", "cost-quality.csv", shown.costs),
    "speedup": Table("acceleration/cost-speedup.json", "cost-speedup.csv", shown.speedup, cheapest),
    "removal-pairs": Table(
        "removals/removal/per_query.parquet",
        "removal-pairs.csv",
        shown.removal_pairs,
        paired_removals,
    ),
    "removal": Table("removals/removal/summary.csv", "removal.csv", shown.removal),
    "replicates": Table("digits/replicates/summary.csv", "replicates.csv", shown.replicates),
    "replicate-comparisons": Table(
        "digits/replicates/comparisons.csv",
        "replicate-comparisons.csv",
        shown.replicate_comparisons,
    ),
    "by-models": Table("digits/lds/by_models.csv", "by_models.csv", shown.by_models),
    "search": Table("search/search/tuning.csv", "search.csv", shown.search),
}
for _name in ("fashion", "emoji"):
    _lds = f"{_name}/lds"
    TABLES |= {
        f"{_name}-loss": Table(f"{_lds}/table.csv", f"{_name}.csv", LOSS),
        f"{_name}-displacement": Table(f"{_lds}/table.csv", f"{_name}.csv", DISPLACEMENT),
        f"{_name}-transforms": Table(f"{_lds}/table.csv", f"{_name}.csv", shown.transforms),
        f"{_name}-ceiling": Table(f"{_lds}/ceiling.csv", f"{_name}-ceiling.csv", shown.ceilings),
        f"{_name}-primary": Table(f"{_lds}/comparisons.csv", f"{_name}-primary.csv", shown.primary),
        f"{_name}-removal": Table(
            f"{_name}/removal/summary.csv", f"{_name}-removal.csv", shown.removal
        ),
        f"{_name}-cost": Table(f"{_name}/provenance.json", f"{_name}-cost.csv", shown.bill, spent),
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
        made = table.shown(tables.load_table(root / KEPT / table.kept))
        page = f"{before}{begin}{made}\n{end}{rest.partition(end)[2]}"
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
    script_main.main(main)
