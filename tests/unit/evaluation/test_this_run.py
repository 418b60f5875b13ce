"""Scores judged by one run: agreement with derivatives, LDS of replays, linearity of the run."""

import numpy as np
import pytest
from scipy import stats

from dasbench.evaluation import this_run
from dasbench.evaluation.bootstrap import Bootstrap

N, Q, M = 30, 4, 12


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def exact(rng):
    return rng.standard_normal((N, Q))


@pytest.fixture
def masks(rng):
    masks = np.ones((M, N), dtype=bool)
    for row in masks:
        row[rng.choice(N, 3, replace=False)] = False
    return masks


def test_agreement_is_spearman_over_examples(exact, rng):
    scores = {"noisy": exact + rng.standard_normal(exact.shape), "square": exact**2, "same": exact}
    table = this_run.agreement(scores, exact, Bootstrap(200), np.random.default_rng(1))
    assert list(table["method"]) == list(scores)
    rows = table.set_index("method")
    expected = np.mean([stats.spearmanr(scores["noisy"][:, q], exact[:, q])[0] for q in range(Q)])
    assert rows.loc["noisy", "correlation"] == pytest.approx(expected)
    assert rows.loc["noisy", "lo"] < expected < rows.loc["noisy", "hi"]
    assert rows.loc["same", ["correlation", "lo", "hi"]].tolist() == pytest.approx([1, 1, 1])
    assert rows.loc["square", ["size", "size_lo", "size_hi"]].tolist() == pytest.approx([1, 1, 1])
    assert abs(rows.loc["square", "correlation"]) < 0.5


def test_judging_is_the_lds_of_one_run(exact, masks, rng):
    outputs = 5 + masks @ exact + 0.5 * rng.standard_normal((M, Q))
    draws = Bootstrap(100).shared(("tests", 0), "val", M, Q)
    scores = {"exact": exact, "constant": np.ones((N, Q)), "floor": rng.standard_normal((N, Q))}
    rows = this_run.judge(scores, masks, outputs, draws, "floor").set_index("method")
    predicted = masks @ exact
    expected = np.mean([stats.spearmanr(predicted[:, q], outputs[:, q])[0] for q in range(Q)])
    assert rows.loc["exact", "lds"] == pytest.approx(expected)
    assert rows.loc["exact", "lo"] <= expected <= rows.loc["exact", "hi"]
    assert rows.loc["constant", ["lds", "undefined"]].tolist() == [0, Q]
    assert rows.loc["exact", "partial"] > 0.5
    assert rows.loc["floor", "partial"] == 0  # determined by itself
    assert rows.loc["exact", ["M", "Q"]].tolist() == [M, Q]
    without = this_run.judge({"exact": exact}, masks, outputs, draws)
    assert without.loc[0, "lds"] == pytest.approx(expected)
    assert without["partial"].isna().all()


def test_a_linear_run_is_explained_by_its_derivatives(exact, masks, rng):
    whole = rng.standard_normal(Q)
    outputs = whole - (~masks) @ exact
    assert this_run.linearity(exact, masks, outputs, whole) == pytest.approx((1, 1, 1))
    halved = this_run.linearity(exact, masks, whole - 0.5 * (~masks) @ exact, whole)
    assert halved == pytest.approx((1, 0.5, 0))
    turned = this_run.linearity(exact, masks, whole + (~masks) @ exact, whole)
    assert turned == pytest.approx((-1, -1, -3))


def test_masks_that_do_not_differ_are_refused(exact, masks):
    same = np.repeat(masks[:1], 2, axis=0)
    with pytest.raises(ValueError, match="constant over the masks"):
        this_run.linearity(exact, same, np.zeros((2, Q)), np.ones(Q))


def test_metasmoothness_weighs_changes_of_direction():
    start, middle = np.zeros(4), np.array([1.0, -1, 2, 0])
    assert this_run.metasmoothness(start, middle, 2 * middle) == 1
    # the third value turns back half of its way: of the changes 2, 2 and 1, a fifth disagrees
    assert this_run.metasmoothness(start, middle, np.array([2.0, -2, 1, 0])) == pytest.approx(0.6)
    assert np.isnan(this_run.metasmoothness(start, middle, start))


def test_a_smooth_function_is_metasmooth_for_small_steps(rng):
    curve = rng.standard_normal((50, 3))

    def values(w):
        return np.sin(curve @ w)

    w, v = rng.standard_normal((2, 3))
    near, far = (
        this_run.metasmoothness(*(values(w + k * h * v) for k in range(3))) for h in (1e-3, 5)
    )
    assert near > 0.99
    assert far < 0.7
