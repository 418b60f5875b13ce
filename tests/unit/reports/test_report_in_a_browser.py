"""The report in Debian's chromium: choices change pictures, tables sort, axe finds nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthetic_results
from browser import violations
from dasbench.core import artifacts, tables
from dasbench.reports import report
from dasbench.reports.explorer import contents, extremes

NAMES = ["random", "class_match", "pixel_dot", "floor", "trak", "dtrak", "das", "das_common"]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}
DARK = {"color_scheme": "dark"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of made-up results with an explorer."""
    root = synthetic_results.make(tmp_path_factory.mktemp("results"), NAMES)
    training = artifacts.load_examples(root / "examples/train.npz")
    rng = np.random.default_rng(0)
    queries, parts = {}, []
    for kind in ("val", "gen"):
        images = artifacts.load_array(root / f"queries/{kind}.npy")
        queries[kind] = contents.Queries(images, np.arange(len(images)) % 3)
        for method in ("das", "floor"):
            scores = rng.normal(size=(len(training.ids), len(images))).astype(np.float32)
            listed = extremes.table(scores, training.ids, range(2, 8))
            parts.append(listed.assign(queries=kind, method=method))
    removed = {"method": ["das", "random"], "k": [3, 3], "query": [4, 4]}
    removed |= {"loss_change": [0.5, 0.1], "image_l2": [2.0, 1.0]}
    gathered = contents.contents(pd.concat(parts), training, queries, removed=pd.DataFrame(removed))
    loaded = {
        name: tables.load_table(root / f"lds/{name}.csv")
        for name in ("summary", "selection", "comparisons", "ceiling", "leverage")
    }
    page = report.render(
        report.Results(
            experiment="made_up",
            settings=synthetic_results.settings(NAMES),
            **loaded,
            removal=tables.load_table(root / "removal/summary.csv"),
            data_card={"classes": {"0": "zero", "1": "one", "2": "two"}},
            explorer={"contents": gathered, "noisiness": 0.9},
            floor="floor",
        )
    )
    path = root / "report.html"
    path.write_text(page)
    return path


def _drawn(page) -> None:
    page.wait_for_selector("html.drawn")


@pytest.mark.parametrize("options", [{}, DARK, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_and_the_page_fits(opened, made, options) -> None:
    with opened(made, **options) as page:
        _drawn(page)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator(".chart svg.marks").count() == 4


def test_choices_change_the_pictures_and_the_address(opened, made) -> None:
    with opened(made) as page:
        _drawn(page)
        pictures = page.locator("#lists li img")

        def shown():
            return [pictures.nth(i).get_attribute("src") for i in range(pictures.count())]

        first = shown()
        assert len(first) == 2 * (extremes.HIGHEST + extremes.LOWEST)
        page.locator("#queries button").nth(2).click()
        assert page.locator("#asked b").inner_text() == "Query 4"
        second = shown()
        assert second != first
        page.select_option("#second", "")
        assert page.locator("#lists h3").count() == 1
        page.select_option("#first", "floor")
        assert shown() != second[:15]
        assert page.evaluate("location.hash") == "#explore?kind=val&query=4&a=floor&b="
        card = page.locator("#lists li button").first
        card.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
        assert "is among the 10 highest of floor for" in page.locator("#appearances").inner_text()
        page.keyboard.press("Enter")  # releases it
        assert page.locator("#appearances").inner_text() == ""
        page.locator("#queries [aria-pressed=true]").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#asked b").inner_text() == "Query 5"
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_an_address_opens_its_query_with_what_removal_did(opened, made) -> None:
    with opened(made, "#explore?kind=gen&query=4&a=das&b=floor") as page:
        _drawn(page)
        assert page.locator("#asked b").inner_text() == "Query 4"
        assert page.locator("[data-kind=gen]").get_attribute("aria-pressed") == "true"
        cells = page.locator("#removed tbody tr").first.locator("th, td").all_inner_texts()
        assert cells == ["das", "3", "0.5", "0.1", "2", "1"]
        page.locator("#queries button").nth(3).click()
        assert page.locator("#removed tr").count() == 0


def test_tables_sort_and_filter(opened, made) -> None:
    with opened(made) as page:
        _drawn(page)
        table = page.locator("#headline-loss")
        head = table.locator("thead tr:last-child th").nth(2)

        def values():
            cells = table.locator("tbody td[data-value='val.lds'][data-sort]")
            return [float(cells.nth(i).get_attribute("data-sort")) for i in range(cells.count())]

        for order in (-1, 1):
            head.get_by_role("button").press("Enter")
            page.wait_for_timeout(50)
            assert values() == sorted(values(), key=lambda value: order * value)
        assert len(values()) == len(NAMES) - 1
        table.locator("thead tr.group th").first.click()  # the heads above do not sort
        page.wait_for_timeout(50)
        head.get_by_role("button").click()
        page.wait_for_timeout(50)
        assert values() == sorted(values(), reverse=True)
        signed = page.locator("#beyond-table td[data-value='val.partial'][data-sort]")
        heads = page.locator("#beyond-table thead tr:last-child th")
        heads.nth(2).get_by_role("button").click()
        page.wait_for_timeout(50)
        shown = [float(signed.nth(i).get_attribute("data-sort")) for i in range(signed.count())]
        assert shown == sorted(shown, reverse=True)
        assert min(shown) < 0
        full = page.locator("details:has(#full-table)")
        full.locator("summary").click()
        page.get_by_label("filter the rows of the table full-table").fill("das_common val loss")
        rows = page.locator("#full-table tbody tr:visible")
        assert rows.count() == 3
        assert all("das_common" in text for text in rows.all_inner_texts())


def test_a_table_is_saved_with_its_exact_numbers(opened, made) -> None:
    with opened(made, accept_downloads=True) as page:
        _drawn(page)
        with page.expect_download() as download:
            page.get_by_label("save the table headline-loss as CSV").click()
        assert download.value.suggested_filename == "made_up-headline-loss.csv"
        rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))
        column = rows[0].index("Held-out images: LDS × 100")
        found = {row[0]: row[column] for row in rows[1:]}
        both = rows[0].index("Held-out images: 95 % interval")
        ends = {row[0]: row[both] for row in rows[1:]}
        summary = tables.load_table(made.parent / "lds/summary.csv")
        own = summary[summary.own & (summary.target == "loss") & (summary.queries == "val")]
        held = own[own.selection == "held_out"].set_index("method")
        for method in ("das", "trak"):
            assert abs(float(found[method]) - 100 * held.lds[method]) < 1e-3
            lo, hi = map(float, ends[method].split(" to "))
            assert abs(lo - 100 * held.lo[method]) < 1e-3
            assert abs(hi - 100 * held.hi[method]) < 1e-3


def test_charts_show_what_is_chosen(opened, made) -> None:
    with opened(made) as page:
        _drawn(page)
        chart = page.locator("[data-chart=lds-val]")
        assert "das_common" in chart.inner_text()
        before = chart.locator("svg.marks").inner_html()
        page.select_option("#measure", "displacement")
        page.wait_for_function(
            "old => document.querySelector('[data-chart=lds-val] svg.marks')?.innerHTML !== old",
            arg=before,
        )
        damping = page.locator("[data-chart=damping-val]")
        assert "trak" in damping.inner_text()
        page.locator("details:has(#chosen) summary").click()
        page.locator("#chosen input[value=trak]").uncheck()
        page.wait_for_function(
            "!/(^|\\n)trak(\\n|$)/.test(document.querySelector('[data-chart=damping-val]').innerText)"
        )


def test_the_page_warns_of_samples_that_are_noise(opened, made) -> None:
    with opened(made) as page:
        assert "The generated images look like noise" in page.locator(".warning").inner_text()


def test_without_its_script_the_page_shows_all_numbers(opened, made) -> None:
    with opened(made, java_script_enabled=False) as page:
        assert page.locator("#headline-loss tbody tr").count() == len(NAMES)
        assert not page.locator("#explore").is_visible()
        assert page.locator("#lists").inner_html() == ""
    assert len(made.read_text()) < 2_000_000
