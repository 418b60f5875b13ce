"""The page of all experiments: its numbers are the tables'; kept numbers; damaged tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import synthetic_results
from browser import violations
from dasbench.core import tables
from dasbench.reports import index_page
from report_page import Page

NAMES = ["random", "trak", "das"]
ROOT = Path(index_page.__file__).parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two experiments that were run, and one whose numbers are kept."""
    for name in ("mine", "smoke"):
        synthetic_results.make(tmp_path / f"results/{name}", NAMES)
    (tmp_path / "results/mine/report.html").write_text("")
    rows = [{"method": "das", "queries": "val", "target": "loss", "lds": 0.5, "lo": 0.4, "hi": 0.6}]
    bound = [{"queries": "val", "target": "loss", "ceiling": 0.8, "lo": 0.7, "hi": 0.9}]
    kept = {"lds": rows, "ceiling": bound, "comparisons": []}
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/far.json").write_text(json.dumps(kept))
    (tmp_path / "reference/rates.json").write_text("{}")
    published = (ROOT / "reference/published_lds.csv").read_text()
    (tmp_path / "reference/published_lds.csv").write_text(published)
    return tmp_path


def test_numbers_are_the_tables(root: Path) -> None:
    """Held-out, own transform, loss; the fraction is of the ceiling."""
    cells = Page(index_page.render(root)).cells
    summary = tables.load_table(root / "results/mine/lds/summary.csv")
    held = summary[summary.own & (summary.selection == "held_out") & (summary.target == "loss")]
    for row in held.to_dict("records"):
        shown = cells["lds", row["method"], f"mine.{row['queries']}"].replace("−", "-")
        assert shown.startswith(f"{100 * row['lds']:.1f}[{100 * row['lo']:.1f}, ")
    assert cells["lds", "das", "far.val"] == "50.0[40.0, 60.0], 62 %"
    assert ("lds", "trak", "far.val") not in cells


def test_tests_come_last_and_kept_numbers_are_said(root: Path) -> None:
    assert list(index_page.numbers(root)) == ["far", "mine", "smoke"]
    html = index_page.render(root)
    assert "smoke, a test" in html
    assert "because the results are not here: far." in " ".join(html.split())
    assert 'href="mine/report.html"' in html
    assert 'href="smoke/report.html"' not in html


def test_published_numbers_stand_apart(root: Path) -> None:
    html = index_page.render(root)
    table = html.split('id="published-table"')[1].split("</table>")[0]
    lines = (root / "reference/published_lds.csv").read_text().splitlines()
    assert table.count("<tr>") == len(lines)  # with the head
    assert "published-table" not in html.split('id="published"')[0]


@pytest.mark.parametrize("damage", ["not a table", "method,queries\n", ""])
def test_a_damaged_table_is_told_and_the_rest_is_shown(root: Path, damage: str) -> None:
    (root / "results/smoke/lds/summary.csv").write_text(damage)
    html = index_page.render(root)
    assert "The numbers of smoke are missing: " in html
    assert ("lds", "das", "mine.val") in Page(html).cells


def test_the_page_is_written_only_if_it_changes(root: Path) -> None:
    index_page.write(root)
    path = root / index_page.FILE
    before = path.stat().st_mtime_ns
    index_page.write(root)
    assert path.stat().st_mtime_ns == before
    (root / "reference/far.json").unlink()
    index_page.write(root)
    assert "far" not in Page(path.read_text()).cells


def test_nothing_was_run(tmp_path: Path) -> None:
    html = index_page.render(tmp_path)
    assert "No experiment has been judged here yet" in html
    assert "Published numbers</h2>" not in html


def test_axe_finds_nothing(root: Path, opened) -> None:
    index_page.write(root)
    with opened(root / index_page.FILE) as page:
        page.wait_for_selector("html.drawn")
        assert violations(page) == []
