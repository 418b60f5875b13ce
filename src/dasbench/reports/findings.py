"""The tables and figures of docs/findings.md and docs/attribute.md, from results.

``python -m dasbench.reports.findings`` writes them.

The repository holds the pages, but not the results. So the data of each table are kept under
``reference/findings/``. The tables of the pages follow from these files alone, and a test checks
that. If a study has no results on this machine, its files and figures stay as they are.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dasbench.core import artifacts, script_main, tables
from dasbench.core.writing import write_text
from dasbench.errors import UserError
from dasbench.reports import default_methods, floor_heights
from dasbench.reports.figures import beyond, hero, style
from dasbench.reports.finding_tables import FLOORS, TABLES, spent

# the data sets in the table and the figure of floors
SETS = ("digits", "fashion", "emoji", "digits_moved")
PAGES = ("docs/findings.md", "docs/attribute.md")
HERO = "fashion"  # the experiment at the top of README
KEPT, FIGURES = "reference/findings", "docs/figures"
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
    "digits_moved-samples.png": "digits_moved/figures/samples.png",
    "digits_moved-lds.svg": "digits_moved/figures/lds-loss.svg",
    "digits_moved-neighbours.png": "digits_moved/figures/neighbours-val.png",
}


def collect(root: Path) -> list[str]:
    """Copy the results of the studies that are on this machine: tables and figures.

    Tables are rounded to six decimals.

    Returns:
        Names of the written files.
    """
    written = []
    for table in TABLES.values():
        source = root / "results" / table.source
        # the cost of a run is complete only at its end
        done = table.read is not spent or source.with_name("report.html").is_file()
        if table.source and source.is_file() and done and table.kept not in written:
            (root / KEPT).mkdir(parents=True, exist_ok=True)
            tables.save_table(root / KEPT / table.kept, table.read(source).round(6))
            written.append(table.kept)
    floors = root / KEPT / FLOORS.kept
    if floor_heights.renew(floors, root / "results", SETS):
        style.save(beyond.heights(tables.load_table(floors)), root / FIGURES / "floors.svg")
        written += [FLOORS.kept, "floors.svg"]
    explorer = root / "results" / HERO / "explorer.json"
    if explorer.is_file():
        contents = artifacts.load_json(explorer)["contents"]
        style.save(hero.rows(contents, "das_stepwise"), root / FIGURES / "hero.png")
        written.append("hero.png")
    if default_methods.renew(root / KEPT):
        written.append(default_methods.KEPT)
    for name, path in PICTURES.items():
        source = root / "results" / path
        if source.is_file():
            (root / FIGURES).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / FIGURES / name)
            written.append(name)
    return written


def blocks(page: str) -> list[str]:
    """Names of the tables of a page, from its markers, in order."""
    begun = [part.split(":begin -->")[0] for part in page.split("<!-- ")[1:] if ":begin" in part]
    return [name.strip() for name in begun]


def fill(page: str, root: Path) -> str:
    """Replace every table of a page by the one from ``reference/findings/``.

    Args:
        page: Text of the page.
        root: Folder of the repository.

    Raises:
        UserError: If the page has markers for a table that does not exist.
    """
    for name in blocks(page):
        if name not in TABLES:
            raise UserError(f"there is no table {name}; known: {', '.join(TABLES)}")
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        before, _, rest = page.partition(begin)
        table = TABLES[name]
        markdown = table.form.markdown(tables.load_table(root / KEPT / table.kept))
        page = f"{before}{begin}{markdown}\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    """Renew the pages."""
    root = Path.cwd()
    for name in collect(root):
        print(name)
    for page in (root / name for name in PAGES):
        write_text(page, fill(page.read_text(encoding="utf-8"), root))


if __name__ == "__main__":
    script_main.main(main)
