"""Answers as searches: measures against loops, chance against all orders, credit by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dasbench.evaluation import retrieval
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.questions import Questions

DRAW = Bootstrap(200, 0.9)


def slow(scores, relevant, top):
    """One question, read off the answer image by image; ties by position."""
    answer = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    hits = [bool(relevant[n]) for n in answer]
    count, found, precision = sum(hits), 0, 0.0
    for place, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            precision += found / place
    return [float(hits[0]), sum(hits[:top]) / top, sum(hits[:count]) / count, precision / count]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_measures_are_those_of_a_loop_over_the_answer(data):
    n, questions = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 4))
    # few values, so that there are ties
    draw = st.lists(st.integers(-2, 2), min_size=n * questions, max_size=n * questions)
    scores = np.array(data.draw(draw), float).reshape(n, questions)
    relevant = np.array(data.draw(draw)).reshape(n, questions) > 0
    relevant[data.draw(st.integers(0, n - 1))] = True
    top = data.draw(st.integers(1, n))
    measured = retrieval.measure(scores, relevant, top)
    for q in range(questions):
        expected = slow(scores[:, q], relevant[:, q], top)
        np.testing.assert_allclose([each[q] for each in measured], expected)


@pytest.mark.parametrize(("n", "count"), [(2, 1), (5, 1), (5, 3), (6, 6)])
def test_chance_is_the_mean_over_all_orders(n, count):
    relevant = np.arange(n) < count
    every = [slow(np.array(order, float), relevant, 2) for order in permutations(range(n))]
    expected = retrieval.chance(relevant[:, None])
    np.testing.assert_allclose([each[0] for each in expected], np.mean(every, axis=0))


def test_questions_without_an_answer_are_refused():
    with pytest.raises(ValueError, match="a relevant image for each question"):
        retrieval.measure(np.zeros((3, 2)), np.array([[1, 0], [0, 0], [0, 0]], bool), 1)


def test_every_method_is_measured_on_every_group_with_the_same_draws():
    rng = np.random.default_rng(0)
    relevant = rng.random((12, 6)) < 0.3
    relevant[0] = True
    groups = np.array(["a", "b", "a", "a", "b", "a"])
    questions = Questions(np.array([7, 1, 3, 3, 0, 2]), relevant, groups)
    scores = {"first": rng.standard_normal((12, 8)), "perfect": np.zeros((12, 8))}
    scores["same"] = scores["first"] * 3
    table = retrieval.judge(scores, questions, 4, DRAW, np.random.default_rng(1))
    assert len(table) == 6
    row = table[(table.method == "first") & (table.group == "a")].iloc[0]
    inside = np.flatnonzero(groups == "a")
    each = [slow(scores["first"][:, questions.queries[q]], relevant[:, q], 4) for q in inside]
    means = np.mean(each, axis=0)
    np.testing.assert_allclose([row[m] for m in retrieval.Measures._fields], means)
    assert (row.questions, row.relevant) == (4, relevant[:, inside].sum(0).mean())
    for name in retrieval.Measures._fields:
        assert row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"]
    assert row.recall_chance == pytest.approx(relevant[:, inside].mean())
    same = table[table.method == "same"].drop(columns="method").reset_index(drop=True)
    first = table[table.method == "first"].drop(columns="method").reset_index(drop=True)
    assert same.equals(first)


def test_the_difference_to_the_floor_is_paired():
    """That of the floor itself is 0, and so is that of a method with the floor's ranks."""
    rng = np.random.default_rng(0)
    relevant = rng.random((12, 5)) < 0.3
    relevant[0] = True
    questions = Questions(np.arange(5), relevant, np.array(["a"] * 5))
    floor = rng.standard_normal((12, 5))
    scores = {"mine": rng.standard_normal((12, 5)), "floor": floor, "same": 3 * floor}
    rows = retrieval.judge(scores, questions, 4, DRAW, np.random.default_rng(1)).set_index("method")
    ends = ["over_floor", "over_floor_lo", "over_floor_hi"]
    assert rows.loc[["floor", "same"], ends].eq(0).all(axis=None)
    mine = rows.loc["mine"]
    assert mine.over_floor == pytest.approx(mine.precision - rows.loc["floor"].precision)
    # each question's difference bounds the interval; of unpaired means it would be wider
    each = retrieval.measure(scores["mine"], relevant, 4).precision
    each = each - retrieval.measure(floor, relevant, 4).precision
    assert each.min() <= mine.over_floor_lo < mine.over_floor_hi <= each.max()
    without = retrieval.judge({"mine": floor}, questions, 4, DRAW, np.random.default_rng(1))
    assert without[ends].isna().all(axis=None)


def test_equal_scores_are_an_answer_in_random_order():
    """Wherever the relevant images stand: marked images and copies have places of their own."""
    relevant = np.zeros((400, 1), bool)
    relevant[:20] = True
    questions = Questions(np.zeros(1, int), relevant, np.array(["a"]))
    scores = {"constant": np.ones((400, 1))}
    rngs = map(np.random.default_rng, range(100))
    found = [retrieval.judge(scores, questions, 10, DRAW, rng).iloc[0] for rng in rngs]
    mean = np.mean([row.precision for row in found])
    assert mean == pytest.approx(found[0].precision_chance, rel=0.1)
    assert np.mean([row["first"] for row in found]) < 0.15


def test_no_questions_give_no_rows():
    nothing = Questions(np.zeros(0, int), np.zeros((3, 0), bool), np.zeros(0, str))
    table = retrieval.judge({"a": np.zeros((3, 2))}, nothing, 1, DRAW, np.random.default_rng(0))
    assert table.empty


def test_credit_is_the_score_of_all_copies_over_that_of_the_single_image():
    groups = np.array(["1 copy", "2 copies", "2 copies"])
    once = {"split": np.array([1.0, 2.0, 4.0]), "full": np.array([1.0, 2.0, 4.0])}
    once["nothing"] = np.zeros(3)
    copied = {"split": once["split"], "full": once["full"] * [1, 2, 2], "nothing": np.ones(3)}
    table = retrieval.credit(copied, once, groups, DRAW, np.random.default_rng(0))
    rows = table.set_index(["method", "group"])
    for method, group, expected in (
        ("split", "1 copy", 1),
        ("split", "2 copies", 1),
        ("full", "1 copy", 1),
        ("full", "2 copies", 2),
    ):
        row = rows.loc[(method, group)]
        np.testing.assert_allclose([row.credit, row.lo, row.hi], expected)
    assert np.isnan(rows.loc[("nothing", "2 copies"), "credit"])
    assert rows.loc[("split", "2 copies"), "images"] == 2
