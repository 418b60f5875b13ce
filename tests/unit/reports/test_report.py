"""The report: complete, escaped, self-contained, equal bytes, and every number is the table's."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import re
import socket
import time
from pathlib import Path

import numpy as np
import pytest

import synthetic_results
from dasbench.core import artifacts, tables
from dasbench.errors import UserError
from dasbench.experiments.figure_table import FIGURES
from dasbench.reports import comparisons, pages, report
from report_page import VERSIONS, Page

ROOT = Path(report.__file__).parents[3]
HOSTILE = '<script>alert("x")</script>'
NAMES = [
    "random",
    "class_match",
    "train_norm",
    "pixel_dot",
    "trak",
    "dtrak",
    "dtrak_common",
    "das",
    "das_common",
    HOSTILE,
]
SECTIONS = (
    *"findings model lds comparisons choices displacement".split(),
    *"removal neighbours limits full settings".split(),
)
SHOWN = [figure for figure in FIGURES.values() if figure.section not in ("", "ablation", "groups")]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> report.Results:
    """Made-up results with a hostile name in every place that a user can fill."""
    root = synthetic_results.make(tmp_path_factory.mktemp("results"), NAMES)
    figures = []
    for stem in (*(figure.stem for figure in SHOWN), "extra"):
        figures.append(root / f"figures/{stem}.svg")
        figures[-1].parent.mkdir(exist_ok=True)
        figures[-1].write_text(f"<svg xmlns='http://www.w3.org/2000/svg' id='{stem}'/>")
    evil = root / f"figures/{HOSTILE.replace('/', '')}.png"
    evil.write_bytes(b"png")
    loaded = {
        name: tables.load_table(root / f"lds/{name}.csv")
        for name in ("summary", "selection", "comparisons", "ceiling", "leverage")
    }
    settings = {**synthetic_results.settings(NAMES), "title": f"Blobs {HOSTILE}"}
    return report.Results(
        experiment=HOSTILE,
        settings=settings,
        **loaded,
        removal=tables.load_table(root / "removal/summary.csv"),
        figures=[*figures, evil],
        metrics=artifacts.load_json(root / "metrics.json"),
        data_card={"source": HOSTILE, "licence": "CC BY 4.0", "sha256": "ab" * 32},
        versions=VERSIONS,
        inapplicable={HOSTILE: {"val": HOSTILE, "gen": HOSTILE}},
    )


@pytest.fixture(scope="module")
def html(results: report.Results) -> str:
    """The page."""
    return report.render(results)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    """The page, parsed."""
    return Page(html)


def test_equal_results_give_an_equal_page(results: report.Results, html: str) -> None:
    """Byte for byte."""
    assert report.render(results) == html


def test_hostile_names_are_escaped(html: str, page: Page) -> None:
    """No script element comes out of a method, title, licence, reason or file name."""
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)
    assert html.count("<script") == len(scripts) == len(pages.LIBRARIES) + 2
    assert all(HOSTILE not in text and "</script" not in text for text in scripts)
    assert html.count("&lt;script&gt;") > len(SECTIONS)


def test_page_is_self_contained(html: str, page: Page) -> None:
    """Sources are data URIs, links stay on the page or go to the timings beside it."""
    for key, value in page.links:
        allowed = (
            value.startswith("data:")
            if key == "src"
            else value.startswith(("#", "https://arxiv.org/abs/", "https://github.com/"))
            or value == "timings.html"
        )
        assert allowed, f"{key}={value[:60]}"
    assert not page.tags & {"link", "iframe", "object", "embed"}
    assert not re.search(r"url\(|@import", _words(html))
    policy = re.search('http-equiv="Content-Security-Policy" content="(.*?)"', html)[1]
    assert policy.startswith("default-src &#39;none&#39;; base-uri &#39;none&#39;; ")
    assert "unsafe-eval" not in policy


def _words(html: str) -> str:
    """The page without its pictures and scripts."""
    bare = re.sub(r"<script[^>]*>.*?</script>", "", html, flags=re.DOTALL)
    return re.sub(r"data:[^\"]*", "", bare)


def test_a_reason_stands_where_a_number_would(results: report.Results) -> None:
    """One kind of query without scores: the others keep their numbers, the reason is told."""
    summary = results.summary
    method = summary[summary.own].method.iloc[0]
    rest = summary[(summary.method != method) | (summary.queries != "val")]
    reason = "an image has no tail & no head"
    some = {method: {"val": reason}, "absent": dict.fromkeys(("val", "gen"), "no model")}
    html = report.render(dataclasses.replace(results, summary=rest, inapplicable=some))
    row = re.search(rf'<tr[^>]*data-method="{method}">.*?</tr>', html, re.DOTALL)[0]
    assert "does not apply: an image has no tail &amp; no head" in row
    assert 'data-value="gen.lds"' in row
    assert 'data-value="val.lds"' not in row
    assert re.search(r"Not in the tables: .*absent</span> \(no model\)", html)


def test_no_time_date_or_host(
    results: report.Results, html: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the words of the page changes from day to day or from machine to machine."""
    bare = _words(html)
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b|\b\d{1,2}:\d{2}\b", bare)
    assert str(ROOT) not in bare
    assert str(results.figures[0].parent) not in bare
    monkeypatch.setattr(socket, "gethostname", lambda: "another-host")
    monkeypatch.setattr(platform, "node", lambda: "another-host")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(platform, "python_version", lambda: "9.9.9")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9.9")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert report.render(results) == html


def test_sections_and_figures_are_there_once(page: Page) -> None:
    """Every section, every figure in its place, ids unique, and no link into nowhere."""
    assert set(SECTIONS) <= set(page.ids)
    assert {f"figure-{figure.stem}" for figure in SHOWN} <= set(page.ids)
    assert "other" in page.ids
    assert len(page.ids) == len(set(page.ids))
    inner = {value[1:] for key, value in page.links if value.startswith("#")}
    assert inner <= set(page.ids)


def test_a_figure_has_its_words_and_stands_in_its_section(html: str) -> None:
    """One below the other in the order of the table; unknown figures come last."""
    ends = {
        name: part for part in html.split("<section ") for name in re.findall('^id="(.*?)"', part)
    }
    charted = [figure for figure in SHOWN if figure.stem in report.CHARTED]
    places = {figure.section: [] for figure in SHOWN} | {"print": charted}
    for figure in SHOWN:
        places[figure.section] += [figure] if figure not in charted else []
    for section, own in places.items():
        found = re.findall(
            r'<img src="data:.*?" alt="(.*?)">\n<figcaption>(.*?)</figcaption>',
            ends.get(section, ""),
        )
        assert [caption for _, caption in found] == [figure.caption for figure in own]
        assert all(a.startswith(f.alt) for (a, _), f in zip(found, own, strict=True))
    assert 'alt="extra"' in ends["other"]


@pytest.mark.parametrize("target", ["loss", "displacement"])
def test_headline_numbers_are_the_tables(results: report.Results, page: Page, target: str) -> None:
    """Each printed number, computed here anew from the CSV by the slowest obvious code."""
    table = f"headline-{target}"
    checked = 0
    for method in NAMES:
        for kind in ("val", "gen"):
            chosen = {}
            for row in results.summary.to_dict("records"):
                same = (row["method"], row["queries"], row["target"]) == (method, kind, target)
                if same and row["own"]:
                    chosen[row["selection"]] = row
            held = chosen["held_out"]
            shown = {
                key: page.cells.get((table, method, f"{kind}.{key}"), "").replace("−", "-")
                for key in ("lds", "interval", "oracle", "fraction", "undefined")
            }
            assert int(shown["undefined"]) == held["undefined"]
            if held["undefined"] == held["Q"]:
                assert shown["lds"] == "undefined for every query"
                continue
            assert shown["lds"].startswith("†") == held["edge"]
            _close(shown["lds"].lstrip("†"), 100 * held["lds"])
            lo, hi = shown["interval"].strip("[]").split(", ")
            _close(lo, 100 * held["lo"])
            _close(hi, 100 * held["hi"])
            ceiling = results.ceiling[
                (results.ceiling.queries == kind) & (results.ceiling.target == target)
            ].ceiling.item()
            _close(shown["fraction"].rstrip(" %"), 100 * held["lds"] / ceiling, 0.5)
            if "oracle" in chosen:
                _close(shown["oracle"], 100 * chosen["oracle"]["lds"])
            else:
                assert shown["oracle"] == "–"
            checked += 1
    assert checked == 2 * (len(NAMES) - 1)


def _close(text: str, value: float, half: float = 0.05) -> None:
    assert abs(float(text) - value) <= half + 1e-9


def test_no_fraction_without_a_ceiling_above_zero(results: report.Results) -> None:
    """Where the ceiling's interval reaches 0 a fraction would mean nothing."""
    zero = results.ceiling.assign(lo=0.0)
    for row in report.headline(results.summary, zero, "loss"):
        assert all(cell["fraction"] is None for cell in row["cells"].values())


def test_controls_stand_last_and_the_rest_is_sorted(results: report.Results) -> None:
    """Best first, by the mean over both kinds of query."""
    rows = report.headline(results.summary, results.ceiling, "loss")
    judged = [np.mean([c["lds"] for c in r["cells"].values()]) for r in rows if not r["control"]]
    assert judged == sorted(judged, reverse=True)
    assert [row["control"] for row in rows] == sorted(row["control"] for row in rows)
    assert {row["method"] for row in rows} == set(NAMES)


def test_verdicts_follow_the_interval(results: report.Results) -> None:
    """A winner only where the interval excludes 0; exploratory rows are kept apart."""
    table = results.comparisons.iloc[[0, 0, 0]].reset_index(drop=True)
    table = table.assign(
        a="x",
        b="y",
        lo=[0.01, -0.02, -0.03],
        hi=[0.03, 0.02, -0.01],
        kind=["primary", "primary", "exploratory"],
    )
    rows = comparisons.rows(table)
    assert [row["verdict"] for row in rows["primary"]] == ["x higher", "not resolved"]
    assert [row["verdict"] for row in rows["exploratory"]] == ["y higher"]


def test_a_page_without_removal_or_comparisons(results: report.Results) -> None:
    """Parts that an experiment does not have leave no empty section behind."""
    bare = report.Results(
        results.experiment,
        results.settings,
        results.summary,
        results.selection,
        results.comparisons.iloc[:0],
        results.ceiling.iloc[:0],
        timings=None,
    )
    html = report.render(bare)
    page = Page(html)
    absent = {"explore", "removal", "removal-table", "sets-note", "leverage", "neighbours", "other"}
    assert not {*absent, "data-card", "versions", "primary", "exploratory"} & set(page.ids)
    assert "removal" not in _words(html).lower().split("</style>", 1)[1]
    assert "Primary comparisons were fixed" not in html
    assert {value[1:] for _, value in page.links if value.startswith("#")} <= set(page.ids)


def test_every_setting_and_version_is_shown(results: report.Results, html: str) -> None:
    """Dotted keys of the resolved settings, the seed, and the packages."""
    groups = {group["name"]: dict(group["rows"]) for group in report.flatten(results.settings)}
    assert groups["experiment"]["seed"] == "0"
    assert groups["subsets"]["eval.models"] == "64"
    assert groups["training"]["flip"] == "no"
    assert groups["methods"]["das"] == "defaults"
    for text in ("eval.models", "block_out_channels", "16, 32"):
        assert text in html
    shown = _part(html, '<table class="narrow" id="versions-table">', "</table>")
    found = dict(re.findall(r'<th class="l">(.*?)</th><td class="l wrap">(.*?)</td>', shown))
    assert found == VERSIONS


def _part(html: str, start: str, end: str) -> str:
    """From the first start to the next end."""
    assert start in html
    return html.split(start, 1)[1].split(end, 1)[0]


def test_leverage_is_the_tables(results: report.Results, page: Page) -> None:
    """Every quantile; in the order of the headline, methods without kernel left out."""
    assert len(results.leverage) == 2 * len({m for m, _ in _levels(results)})
    for row in results.leverage.to_dict("records"):
        for name in ("q50", "q90", "q99", "max"):
            cell = page.cells["leverage-table", row["method"], f"{row['queries']}.{name}"]
            assert abs(float(cell) - row[name]) <= 0.0005 + 1e-9
    assert ("leverage-table", "random", "val.q50") not in page.cells
    extreme = results.leverage.assign(max=0.99999)
    cells = Page(report.render(dataclasses.replace(results, leverage=extreme))).cells
    assert cells["leverage-table", "das", "val.max"] == "> 0.999"  # h is below 1, never 1.000
    rows = report.leverage_table(results.leverage, ["trak", "das"])
    assert [(row["method"], row["queries"]) for row in rows[:4]] == [
        ("trak", "val"),
        ("trak", "gen"),
        ("das", "val"),
        ("das", "gen"),
    ]


def _levels(results: report.Results) -> set[tuple[str, str]]:
    return set(zip(results.leverage.method, results.leverage.queries, strict=True))


@pytest.mark.parametrize("rows", [None, 0])
def test_no_leverage_no_table(results: report.Results, rows: int | None) -> None:
    """Neither a missing file nor one with a header alone leaves an empty table."""
    table = None if rows is None else results.leverage.iloc[:rows]
    text = report.render(dataclasses.replace(results, leverage=table))
    assert not {"leverage", "leverage-table"} & set(Page(text).ids)


def test_what_the_intervals_cover_stands_beside_the_tables(
    results: report.Results, html: str
) -> None:
    """In the sections themselves, not only under the limits; the number of sets is the table's."""
    note = _part(html, 'id="interval-note">', "</p>")
    assert html.index('id="headline-loss"') < html.index(note) < html.index('id="comparisons"')
    for words in ("subsets", "queries", "choice of the damping", "one base model", "features"):
        assert words in note
    assert f"S = {synthetic_results.RANDOM_SETS} for" in _part(html, 'id="sets-note">', "</p>")
    table = results.removal.assign(sets=1)
    text = report.render(dataclasses.replace(results, removal=table))
    assert "with S = 1 it is left out altogether" in _part(text, 'id="sets-note">', "</p>")


def test_class_match_of_stratified_subsets(results: report.Results, html: str) -> None:
    """Undefined by design there, and said so; elsewhere merely undefined."""
    assert "by design" not in html.split("headline-loss", 1)[1]
    subsets = {**results.settings["subsets"], "stratify": True}
    settings = {**results.settings, "subsets": subsets}
    text = report.render(dataclasses.replace(results, settings=settings))
    cells = Page(text).cells
    for target in ("loss", "displacement"):
        assert cells[f"headline-{target}", "class_match", "val.lds"] == "undefined by design"
        after = text.split(f'id="headline-{target}"', 1)[1]
        note = _part(after, '<p class="note">', "</p>")
        assert '<span class="name">class_match</span> is undefined by design' in note


def test_primary_comparisons_are_at_the_held_out_damping(
    results: report.Results, html: str
) -> None:
    """An oracle row is exploratory whatever its kind says; the findings count the primary ones."""
    table = results.comparisons.assign(kind="primary")
    rows = comparisons.rows(table)
    assert {row["selection"] for row in rows["primary"]} == {"held_out"}
    assert {row["selection"] for row in rows["exploratory"]} == {"oracle"}
    made = results.comparisons
    primary = made[(made.kind == "primary") & (made.selection == "held_out")]
    assert 0 < len(primary) == _part(html, 'id="primary">', "</table>").count('<td class="main"')
    loss = primary[primary.target == "loss"]
    last = re.findall("<li>(.*?)</li>", _part(html, '<ul class="answer">', "</ul>"))[2]
    resolved = {
        (row.a, row.b) if row.lo > 0 else (row.b, row.a)
        for row in loss.itertuples()
        if row.lo > 0 or row.hi < 0
    }
    named = re.findall(r'<span class="name">(.*?)</span> is above <span class="name">(.*?)<', last)
    assert set(named) <= resolved
    assert named or "is resolved on all kinds" in last or "Nothing is resolved" in last
    assert f"Exploratory comparisons ({len(made) - len(primary)})" in html


def test_missing_figures_and_empty_tables_are_said(results: report.Results, tmp_path: Path) -> None:
    """One sentence each."""
    with pytest.raises(UserError, match="is missing: draw it"):
        pages.figures([tmp_path / "samples.svg"])
    with pytest.raises(UserError, match="not .*x.pdf"):
        pages.figures([tmp_path / "x.pdf"])
    empty = report.Results(
        "e",
        {},
        results.summary.assign(own=False),
        results.selection,
        results.comparisons,
        results.ceiling,
    )
    with pytest.raises(UserError, match="no held-out rows"):
        report.render(empty)
