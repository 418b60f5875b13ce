"""The tables and figures of docs/findings.md, from results.

``python -m dasbench.reports.findings`` writes them.

Results are no part of the repository, a page that quotes them is. What a table of the page shows
is kept in full under ``reference/findings/``; the page's tables are made from these files alone,
which a test repeats. A study that has no results here keeps what the repository has of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dasbench.core import script_main, tables
from dasbench.core.writing import write_text
from dasbench.errors import UserError
from dasbench.reports.finding_tables import TABLES, spent

PAGE, KEPT, FIGURES = "docs/findings.md", "reference/findings", "docs/figures"
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
        markdown = table.form.markdown(tables.load_table(root / KEPT / table.kept))
        page = f"{before}{begin}{markdown}\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    """Renew docs/findings.md."""
    root = Path.cwd()
    for name in collect(root):
        print(name)
    page = root / PAGE
    filled = fill(page.read_text(encoding="utf-8"), root)
    write_text(page, filled)


if __name__ == "__main__":
    script_main.main(main)
