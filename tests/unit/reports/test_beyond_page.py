"""The report's section on what scores know beyond similarity, and comparisons with a date."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import synthetic_results
from dasbench.reports import report


@pytest.fixture(scope="module")
def results() -> report.Results:
    made = synthetic_results.lds_tables(
        ["random", "floor", "das", "dtrak"], np.random.default_rng(0)
    )
    return report.Results("made_up", synthetic_results.settings(["das"]), **made)


def test_the_page_says_what_scores_know_beyond_the_floor(results: report.Results) -> None:
    html = report.render(results)
    assert 'id="beyond-table"' in html
    assert "floor pixel rbf, width 0.5" in html
    assert "undefined for every query" in html
    assert "fixed on 2026-11-30, late" in html
    assert "or at the date in the row" in html
    without = results.summary.drop(columns=[n for n in results.summary if "partial" in n])
    bare = report.render(dataclasses.replace(results, summary=without))
    assert 'id="beyond"' not in bare


def test_comparisons_have_their_date_and_those_by_removal_a_table(results: report.Results) -> None:
    pair = {"kind": "primary", "a": "das", "b": "floor", "k": 100, "fixed": "on a day"}
    pair |= {"difference": 0.01, "lo": 0.002, "hi": 0.03, "detectable": 0.005}
    rows = [{**pair, "measure": name} for name in ("loss_change", "image_l2")]
    page = report.render(dataclasses.replace(results, removed_pairs=pd.DataFrame(rows)))
    assert page.count("fixed on a day") == 1
    assert page.split('id="removed-pairs"')[1].split("</table>")[0].count("<sup>1</sup>") == 2
    assert 'id="removed-pairs"' in page
    assert "das higher" in page
    assert 'id="removed-pairs"' not in report.render(results)
