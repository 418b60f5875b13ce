"""The additive bound against loops, and where it is known."""

import numpy as np
import pytest

import oracle
from dasbench import seeds
from dasbench.attribution.methods.datamodels import datamodel
from dasbench.evaluation import additive
from dasbench.evaluation.bootstrap import Bootstrap

N, Q, M = 10, 6, 16
AXES = ("tests", 0, "val")


@pytest.fixture(scope="module")
def masks():
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(N) < N // 2 for _ in range(M)])


def outputs(masks, noise, seed=1):
    rng = np.random.default_rng(seed)
    truth = masks @ rng.standard_normal((N, Q))
    return truth + noise * rng.standard_normal((2, len(masks), Q))


def test_fitted_and_judging_subsets_are_apart_and_the_lds_is_that_of_loops(masks):
    truth = outputs(masks, 0.5).mean(0)
    total = []
    for number in range(additive.SHUFFLES):
        order = seeds.generator(*AXES, "additive", number).permutation(M).tolist()
        for fold in range(additive.FOLDS):
            rotated = order[M - 4 * fold :] + order[: M - 4 * fold]
            test, fit = rotated[:4], rotated[4:11]
            assert not set(test) & set(fit)
            scores = datamodel(masks[fit], truth[fit])
            total.append(oracle.lds(masks[test], scores, truth[None][:, test]))
    found = additive.per_query(masks, truth, 7, AXES)
    assert found.mean() == pytest.approx(np.mean(total), abs=1e-9)


def test_the_curve_rises_to_one_where_outputs_are_sums(masks):
    table = additive.curve(masks, outputs(masks, 1e-3), AXES, Bootstrap(50))
    assert list(table.models) == additive.sizes(M)
    assert table.lds.iloc[-1] > 0.95
    assert table.lds.iloc[0] < table.lds.iloc[-1] - 0.1
    assert ((table.lo <= table.lds) & (table.lds <= table.hi)).all()
    assert table.evaluation_outputs.all()
    assert (table.judged == M // additive.FOLDS).all()


def test_a_fit_starts_from_scores_and_adds_what_they_lack(masks):
    """The start knows one half of the images; least squares by numpy has its multiple."""
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((N, Q))
    truth = masks @ weights
    start = np.where(np.arange(N)[:, None] < N // 2, 3.0 * weights, 0.0)
    scores = additive.fit(masks, truth, start)
    for q in range(Q):
        columns = np.stack([masks @ start[:, q], np.ones(M)], axis=1)
        slope = max(np.linalg.lstsq(columns, truth[:, q], rcond=None)[0][0], 0.0)
        rest = datamodel(masks, (truth[:, q] - slope * columns[:, 0])[:, None])[:, 0]
        np.testing.assert_allclose(scores[:, q], slope * start[:, q] + rest, atol=1e-9)
    table = additive.curve(masks, truth[None], AXES, Bootstrap(50), {"half": start})
    lds = table.set_index(["start", "models"]).lds
    assert lds["half", 0] + 0.1 < lds["half", 12]
    assert additive.per_query(masks, truth, 0, AXES, weights).mean() == pytest.approx(1.0)


def test_scores_that_know_nothing_are_left_out(masks):
    constant = np.ones((N, Q))
    truth = outputs(masks, 0.5).mean(0)
    np.testing.assert_allclose(additive.fit(masks, truth, constant), datamodel(masks, truth))
    np.testing.assert_allclose(
        additive.fit(masks, truth, -datamodel(masks, truth)), datamodel(masks, truth)
    )


def test_nothing_is_predicted_where_outputs_are_noise(masks):
    noise = np.random.default_rng(3).standard_normal((2, M, 40))
    table = additive.curve(masks, noise, AXES, Bootstrap(50))
    assert abs(table.lds.iloc[-1]) < 0.2


def test_sizes_leave_a_fold_and_are_enough_for_a_penalty():
    assert additive.sizes(64) == [8, 16, 24, 32, 40, 48]
    assert additive.sizes(8) == [4, 5, 6]
