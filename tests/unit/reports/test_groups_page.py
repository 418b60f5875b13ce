"""The report's section on groups."""

import numpy as np
import pytest

import synthetic_groups
import synthetic_results
from dasbench.reports import groups, report
from report_page import Page

NAMES = ["random", "class_match", "floor", "das", "dtrak"]


@pytest.fixture(scope="module")
def tables():
    made = synthetic_groups.tables(NAMES, synthetic_results.QUALITY)
    names = ("summary", "comparisons", "noise", "general")
    return {name: made[f"groups/{name}.csv"] for name in names}


def test_rows_are_ordered_with_the_controls_last(tables):
    rows = groups.table(tables)
    assert [row["method"] for row in rows] == ["das", "dtrak", "floor", "class_match", "random"]
    cell = rows[0]["cells"]["gen"]
    assert cell["all"]["value"] == cell["ndcg"] == pytest.approx(3 * 0.18)
    assert (cell["distinct"], cell["share"]) == (43, 0.25)
    assert groups.noise(tables)["val"]["others"]["ceiling"] == 0.8
    assert groups.table(None) == groups.pairs(None) == []
    assert groups.noise(None) == {}


def test_primary_comparisons_are_those_of_the_rank_correlation(tables):
    rows = groups.pairs(tables)
    assert len(rows) == 2 * 2 * 2  # kinds, targets, scopes
    assert {row["verdict"] for row in rows} == {"random higher"}
    other = tables["comparisons"].assign(kind="exploratory")
    assert groups.pairs(tables | {"comparisons": other}) == []


def test_a_method_without_scores_of_a_kind_has_no_cell_of_it(tables):
    summary = tables["summary"]
    keep = (summary.method != "das") | (summary.queries != "val")
    rows = groups.table(tables | {"summary": summary[keep]})
    assert set(rows[0]["cells"]) == {"gen"}


def test_the_page_has_the_section(tables):
    made = synthetic_results.lds_tables(NAMES, np.random.default_rng(0))
    settings = synthetic_results.settings(NAMES)
    page = Page(report.render(report.Results("made_up", settings, **made, groups=tables)))
    assert page.cells["groups-table", "das", "val.all"] == "54.0"
    assert page.cells["groups-table", "das", "gen.distinct"] == "43"
    assert page.cells["groups-table", "class_match", "val.others"] == "undefined for every query"
    assert {"groups-pairs", "groups-table"} <= set(page.ids)
    alone = {
        name: table[table.scope == "all"] if "scope" in table else table
        for name, table in tables.items()
    }
    html = report.render(report.Results("made_up", settings, **made, groups=alone))
    assert html.count("no query has a group") == 2 * len(NAMES)
    bare = Page(report.render(report.Results("made_up", settings, **made)))
    assert "groups" not in bare.ids
