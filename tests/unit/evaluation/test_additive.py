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


def test_nothing_is_predicted_where_outputs_are_noise(masks):
    noise = np.random.default_rng(3).standard_normal((2, M, 40))
    table = additive.curve(masks, noise, AXES, Bootstrap(50))
    assert abs(table.lds.iloc[-1]) < 0.2


def test_sizes_leave_a_fold_and_are_enough_for_a_penalty():
    assert additive.sizes(64) == [8, 16, 24, 32, 40, 48]
    assert additive.sizes(8) == [4, 5, 6]
