"""q-values from decoys: loops over every threshold, properties, and what has no answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dasbench.attribution import evidence

# few distinct values: most examples have ties
VALUES = st.integers(-3, 3).map(float)
SMALL = arrays.arrays(np.float64, st.integers(1, 7), elements=VALUES)
MAYBE = arrays.arrays(np.float64, st.integers(0, 7), elements=VALUES)


def loops(scores, decoys):
    """The q-value of every score, from every threshold that lists it."""
    q = []
    for own in scores:
        rates = [1.0]
        for threshold in scores:
            if threshold <= own:
                p = (1 + sum(d >= threshold for d in decoys)) / (1 + len(decoys))
                rates.append(len(scores) * p / sum(s >= threshold for s in scores))
        q.append(min(rates))
    return np.array(q)


def standardised_loops(scores, decoys):
    centre = float(np.median(decoys))
    spread = float(np.median([abs(d - centre) for d in decoys]))
    return [(s - centre) / spread for s in scores]


@given(SMALL, MAYBE)
def test_q_values_are_those_of_loops(scores, decoys):
    np.testing.assert_allclose(evidence.q_values(scores, decoys), loops(scores, decoys), rtol=1e-12)


@given(SMALL, MAYBE)
def test_a_higher_score_has_no_larger_q_value(scores, decoys):
    q = evidence.q_values(scores, decoys)[np.argsort(scores)]
    assert (np.diff(q) <= 0).all()
    assert ((q > 0) & (q <= 1)).all()
    assert (q >= evidence.smallest_q(len(scores), len(decoys), len(scores)) - 1e-12).all()


@given(SMALL, MAYBE)
def test_only_the_order_of_scores_counts(scores, decoys):
    np.testing.assert_array_equal(
        evidence.q_values(scores, decoys),
        evidence.q_values(np.exp(scores) ** 3, np.exp(decoys) ** 3),
    )


@given(arrays.arrays(np.float64, st.integers(2, 7), elements=VALUES))
def test_p_values_of_exchangeable_scores_are_super_uniform(values):
    """Exactly: each value in turn is the candidate, the others are its decoys."""
    p = [evidence.p_values(values[[i]], np.delete(values, i))[0] for i in range(len(values))]
    for u in np.arange(1, len(values) + 1) / len(values):
        assert np.mean(np.array(p) <= u + 1e-12) <= u + 1e-12


@pytest.mark.parametrize(("n", "rate"), [(5, 0.05), (5, 0.25), (20, 0.2)])
def test_the_rate_of_false_discoveries_is_the_nominal_one(n, rate):
    """Neither more nor less: (D + 1) rate / N is whole."""
    rng, trials = np.random.default_rng(0), 4000
    listed = 0
    for scores in rng.standard_exponential((trials, n + 99)):
        listed += evidence.q_values(scores[:n], scores[n:]).min() <= rate
    assert abs(listed / trials - rate) < 3 * np.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize("pool", [None, "raw", "standardised"])
def test_judge_is_the_loops_for_every_query(pool):
    rng = np.random.default_rng(3)
    training, decoys = rng.standard_normal((9, 4)) ** 2, rng.standard_normal((6, 4)) ** 2
    held_out = rng.standard_normal((5, 3)) ** 2 * [1, 10, 100]
    found = evidence.judge(
        training, decoys, held_out if pool else None, standardise=pool == "standardised"
    )
    for j in range(4):
        scores, rest = list(training[:, j]), list(decoys[:, j])
        if pool == "raw":
            rest = list(held_out.ravel())
        if pool == "standardised":
            scores = standardised_loops(scores, rest)
            rest = [z for h in held_out.T for z in standardised_loops(h, h)]
        np.testing.assert_allclose(found.q[:, j], loops(scores, rest), rtol=1e-12)
        expected = min(1, 9 / (len(rest) + 1))
        assert found.smallest[j] == pytest.approx(expected)
    assert found.auc is None
    assert found.warning is None


def test_pooled_scores_are_compared_in_the_units_of_their_queries():
    """A query whose scores are a thousand times larger gets the same q-values."""
    rng = np.random.default_rng(4)
    training, decoys, pooled = (rng.standard_normal((n, 2)) for n in (8, 30, 30))
    first = evidence.judge(training, decoys, pooled)
    scale = np.array([1000.0, 0.01])
    second = evidence.judge(7 + scale * training, 7 + scale * decoys, scale * pooled - 3)
    np.testing.assert_array_equal(first.q, second.q)


def test_pooling_resolves_single_images():
    rng = np.random.default_rng(5)
    training, decoys = rng.standard_normal((50, 1)), rng.standard_normal((60, 1))
    training[7] = 40.0
    alone = evidence.judge(training, decoys)
    assert alone.smallest[0] == pytest.approx(50 / 61)
    assert alone.sentences == ["too few decoys to tell: the smallest reachable value is 0.82"]
    pooled = evidence.judge(training, decoys, rng.standard_normal((60, 40)))
    assert pooled.q[7, 0] == pooled.smallest[0] == pytest.approx(50 / 2401)
    assert pooled.sentences == ["1 training image stands out at a false discovery rate of 5 %"]


@pytest.mark.parametrize(
    ("q", "smallest", "expected"),
    [
        ([0.05, 0.01, 0.2], 0.01, "2 training images stand out at a false discovery rate of 5 %"),
        ([0.05, 0.06], 0.9, "1 training image stands out at a false discovery rate of 5 %"),
        ([0.06, 1.0], 0.05, "none stands out"),
        ([0.06, 1.0], 0.4, "too few decoys to tell: the smallest reachable value is 0.4"),
        ([1.0, 1.0], 1.0, "too few decoys to tell: the smallest reachable value is 1"),
    ],
)
def test_sentences(q, smallest, expected):
    assert evidence.sentence(np.array(q), smallest) == expected


def test_the_rate_is_named_as_it_is():
    assert evidence.sentence(np.array([0.01]), 0.01, 0.025).endswith("rate of 2.5 %")


@settings(max_examples=50)
@given(
    arrays.arrays(np.float64, (5, 3), elements=VALUES),
    arrays.arrays(np.float64, (4, 3), elements=VALUES),
)
def test_the_auc_counts_pairs(training, decoys):
    pairs = [
        [np.mean([(t > d) + (t == d) / 2 for t in training[:, j] for d in decoys[:, j]])]
        for j in range(3)
    ]
    np.testing.assert_allclose(evidence.auc_by_query(training, decoys), np.ravel(pairs))


def test_training_images_that_differ_from_decoys_are_a_warning():
    rng = np.random.default_rng(6)
    training, decoys = rng.standard_normal((300, 2)), rng.standard_normal((300, 2))
    held_out, same = rng.standard_normal((300, 20)), rng.standard_normal((300, 20))
    good = evidence.judge(training, decoys, held_out, same)
    assert abs(good.auc - 0.5) < 0.02
    assert good.warning is None
    for shift, side in ((0.5, "higher"), (-0.5, "lower")):
        bad = evidence.judge(training, decoys, held_out, same + shift)
        assert bad.auc == pytest.approx(evidence.auc_by_query(same + shift, held_out).mean())
        assert f"score {side} than decoys" in bad.warning
        assert f"{bad.auc:.2f}" in bad.warning


def test_no_decoys_tell_nothing():
    found = evidence.judge(np.eye(3), np.zeros((0, 3)), np.ones((0, 2)), np.ones((3, 2)))
    assert (found.q == 1).all()
    assert (found.smallest == 1).all()
    assert set(found.sentences) == {"too few decoys to tell: the smallest reachable value is 1"}
    assert found.auc is None


def test_without_own_decoys_the_pool_is_of_no_use():
    """Nothing says in which units the scores of the query are, unless all have the same."""
    given = np.eye(3), np.zeros((0, 3)), np.random.default_rng(0).random((9, 5))
    assert (evidence.judge(*given).q == 1).all()
    found = evidence.judge(*given, standardise=False)
    np.testing.assert_allclose(np.diag(found.q), 3 / 46)


def test_constant_scores_are_ties_with_the_decoys():
    found = evidence.judge(np.ones((30, 2)), np.ones((600, 2)))
    assert (found.q == 1).all()
    assert found.sentences == ["none stands out"] * 2


def test_a_query_whose_decoys_are_identical_has_its_own_decoys_only():
    rng = np.random.default_rng(7)
    training, decoys = rng.random((4, 2)), rng.random((9, 2))
    decoys[:, 1] = 0.5
    pooled = rng.random((9, 6))
    found = evidence.judge(training, decoys, pooled)
    assert found.smallest.tolist() == [4 / 55, 4 / 10]
    np.testing.assert_allclose(found.q[:, 1], loops(training[:, 1], decoys[:, 1]))


def test_held_out_queries_without_spread_leave_the_pool():
    rng = np.random.default_rng(8)
    training, decoys, pooled = rng.random((4, 1)), rng.random((9, 1)), rng.random((9, 6))
    constant = np.concatenate([pooled, np.ones((9, 2))], axis=1)
    found = evidence.judge(training, decoys, constant)
    np.testing.assert_array_equal(found.q, evidence.judge(training, decoys, pooled).q)
    alone = evidence.judge(training, decoys, np.ones((9, 2)))
    np.testing.assert_array_equal(alone.q, evidence.judge(training, decoys).q)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("shape", [(0, 6), (9, 0)])
def test_an_empty_pool_leaves_the_own_decoys(standardise, shape):
    rng = np.random.default_rng(9)
    given = rng.random((4, 2)), rng.random((9, 2))
    found = evidence.judge(*given, np.zeros(shape), standardise=standardise)
    np.testing.assert_array_equal(found.q, evidence.judge(*given).q)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(4))
def test_scores_that_are_not_finite_are_refused(bad, place):
    given = [np.ones((3, 2)), np.ones((4, 2)), np.ones((4, 5)), np.ones((3, 5))]
    given[place][0, 0] = bad
    with pytest.raises(ValueError, match="not all finite"):
        evidence.judge(*given)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3, 2), (4, 3)), r"shape \(4, 3\), expected \[n, 2\]"),
        (((3,), (4,)), r"shape \(3,\), expected \[n, Q\]"),
        (((0, 2), (4, 2)), "no training images"),
        (((3, 2), (4, 2), (4, 5), (3, 6)), r"shape \(3, 6\), expected \[n, 5\]"),
        (((3, 2), (4, 2), (4,)), r"shape \(4,\), expected \[n, Q\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        evidence.judge(*(np.ones(shape) for shape in shapes))
