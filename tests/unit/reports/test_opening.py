"""The first sentences of a report: a winner only where an interval excludes 0; warnings."""

from __future__ import annotations

from typing import Any

import pytest

from dasbench.reports.explorer import opening


def _row(a: str, b: str, queries: str, difference: float, lo: float, hi: float) -> dict[str, Any]:
    row = {"a": a, "b": b, "queries": queries, "target": "loss", "resolved": lo > 0 or hi < 0}
    return row | {"difference": difference, "lo": lo, "hi": hi}


def _cell(lds: float, lo: float = 0.1) -> dict[str, Any]:
    return {"lds": lds, "lo": lo, "hi": lds + 0.1, "fraction": 0.5}


HEADLINE = [
    {
        "method": "das_stepwise",
        "control": False,
        "cells": {"val": _cell(0.6), "gen": _cell(0.2, -0.1)},
    },
    {"method": "floor", "control": False, "cells": {"val": _cell(0.5), "gen": _cell(0.1)}},
    {"method": "random", "control": True, "cells": {"val": _cell(0.9), "gen": _cell(0.9)}},
]


def test_a_difference_whose_interval_holds_zero_is_not_resolved() -> None:
    rows = [
        _row("das_stepwise", "floor", "val", 0.005, -0.01, 0.019),
        _row("das_stepwise", "floor", "gen", 0.003, -0.024, 0.029),
        _row("das", "floor", "val", -0.2, -0.3, -0.1),
    ]
    first, level, last = opening.sentences(HEADLINE, rows, "floor")
    assert first == (
        "No difference is resolved between `das_stepwise`, the best attribution score, and the "
        "best tuned similarity of images: +0.5 (−1.0 to 1.9) on held-out images, +0.3 (−2.4 to "
        "2.9) on generated images (points of LDS × 100)."
    )
    assert "60.0 (10.0 to 70.0) on held-out images (`das_stepwise`, 50 % of the ceiling)" in level
    assert "50 % of the ceiling, not resolved from chance)" in level
    assert (
        last
        == "No primary comparison of two attribution scores is resolved on all kinds of queries."
    )


def test_above_and_below_are_said_apart() -> None:
    rows = [
        _row("das_stepwise", "floor", "val", 0.05, 0.01, 0.09),
        _row("das_stepwise", "floor", "gen", -0.05, -0.09, -0.01),
    ]
    first = opening.sentences(HEADLINE, rows, "floor")[0]
    assert "is above the best tuned similarity of images: +5.0 (1.0 to 9.0) on held-out" in first
    assert "; is below the best tuned similarity of images: −5.0 (−9.0 to −1.0) on gen" in first


def test_pairs_that_are_resolved_on_all_kinds_are_named() -> None:
    rows = [
        _row("das", "dtrak", "val", 0.2, 0.1, 0.3),
        _row("das", "dtrak", "gen", 0.1, 0.05, 0.2),
        _row("das", "trak", "val", 0.2, 0.1, 0.3),
        _row("das", "trak", "gen", 0.1, -0.05, 0.2),
        _row("a", "b", "val", -0.2, -0.3, -0.1),
        _row("a", "b", "gen", 0.2, 0.1, 0.3),
        _row("c", "d", "val", -0.2, -0.3, -0.1),
        _row("c", "d", "gen", -0.1, -0.3, -0.05),
    ]
    last = opening.sentences(HEADLINE, rows, "floor")[2]
    assert last == (
        "Resolved: `das` is above `dtrak` by 20.0 (10.0 to 30.0) on held-out images and 10.0 (5.0 "
        "to 20.0) on generated images; `d` is above `c` by 20.0 (10.0 to 30.0) on held-out images "
        "and 10.0 (5.0 to 30.0) on generated images."
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "The experiment file plans no comparison"),
        (
            [_row("das", "dtrak", "val", 0.1, -0.1, 0.2)],
            "Nothing is resolved: the intervals of all 1",
        ),
    ],
)
def test_no_winner_is_named_without_evidence(rows: list, words: str) -> None:
    assert opening.sentences(HEADLINE, rows, "floor")[2].startswith(words)


def test_the_floor_may_be_the_first_of_a_pair() -> None:
    rows = [_row("floor", "das_stepwise", "val", 0.05, 0.01, 0.09)]
    first, _, last = opening.sentences(HEADLINE, rows, "floor")
    assert "is below the best tuned similarity of images: −5.0 (−9.0 to −1.0)" in first
    assert last.startswith("No primary comparison of two attribution scores")


def test_a_score_is_the_best_only_if_no_other_is_higher() -> None:
    """The comparison may be of another score, and a similarity is no attribution score."""
    headline = [*HEADLINE, {"method": "das", "control": False, "cells": {"val": _cell(0.3)}}]
    rows = [_row("das", "floor", "val", -0.2, -0.3, -0.1)]
    text = opening.sentences(headline, rows, "floor")[0]
    assert text.startswith("`das`, the best score compared with it, is below")
    rows = [_row("nda", "floor", "val", 0.2, 0.1, 0.3)]
    headline = [{"method": "nda", "control": False, "cells": {"val": _cell(0.9)}}, *HEADLINE]
    text = opening.sentences(headline, rows, "floor")[0]
    assert text.startswith("The experiment file plans no comparison of an attribution score")


def test_comparisons_that_others_judge_are_named() -> None:
    last = opening.sentences(HEADLINE, [], "floor", "removal")[2]
    assert last == "The primary comparisons of this experiment are judged by removal."


def test_a_pair_that_was_judged_on_one_kind_alone_is_not_resolved_on_all() -> None:
    rows = [_row("das", "dtrak", "val", 0.2, 0.1, 0.3), _row("a", "b", "gen", 0.1, -0.05, 0.2)]
    assert "is resolved on all kinds" in opening.sentences(HEADLINE, rows, "floor")[2]


def test_only_controls_have_no_highest() -> None:
    assert "No method but the controls" in opening.sentences(HEADLINE[2:], [], None)[1]


def test_without_a_floor_the_page_says_so() -> None:
    headline = [row for row in HEADLINE if row["method"] != "floor"]
    assert opening.sentences(headline, [], "floor")[0].startswith(
        "No tuned similarity of images was judged here"
    )


def test_warnings() -> None:
    assert opening.warnings("digits", {}, 0.2) == []
    assert opening.warnings("digits", {}, None) == []
    (test,) = opening.warnings("smoke", {}, 0.2)
    assert "tests the software" in test
    assert opening.warnings("x", {"debug_of": "cifar2"}, None) == [test]
    (noise,) = opening.warnings("digits", {}, 0.98)
    assert "noise" in noise
    assert "98% of the way" in noise
