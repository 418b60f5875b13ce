"""Attribution from retrained subset models alone, against refits one by one."""

import numpy as np
import pytest

import oracle_curvature as oracle
from dasbench.attribution.methods import datamodels, interface
from dasbench.registry import METHODS


@pytest.fixture
def subsets():
    """Masks [M, N] of a fixed size and outputs [M, Q], of a linear model with noise."""
    rng = np.random.default_rng(0)
    masks = np.stack([rng.permutation(9) < 5 for _ in range(12)])
    weights = rng.standard_normal((9, 4))
    return masks, masks @ weights + 0.3 * rng.standard_normal((12, 4)) - 2


def inputs(masks, outputs):
    images = np.zeros((masks.shape[1], 1, 1, 1))
    queries = np.zeros((outputs.shape[1], 1, 1, 1))
    given = (images, None, None, queries, None, None, None, None, None, ())
    return interface.Inputs(*given, tuning_masks=masks, tuning_outputs=outputs)


def estimate(name, given):
    """The scores of a method without parameters."""
    ((point, scores),) = interface.path(METHODS[name], given, interface.grid(METHODS[name], [1]))
    assert not point
    return scores


def test_empirical_influence_is_a_difference_of_means(subsets):
    masks, outputs = subsets
    masks[:, 3], masks[:, 5] = True, False  # nothing can be said of these
    scores = estimate("empirical_influence", inputs(masks, outputs))
    np.testing.assert_allclose(scores, oracle.empirical_influence(masks, outputs), atol=1e-12)
    assert (scores[[3, 5]] == 0).all()


def test_a_datamodel_is_the_ridge_of_the_least_leave_one_out_error(subsets):
    masks, outputs = subsets
    scores = estimate("datamodel", inputs(masks, outputs))
    # PENALTIES repeated by hand
    relative = [10.0**k for k in range(-4, 5)]
    np.testing.assert_allclose(scores, oracle.datamodel(masks, outputs, relative), atol=1e-8)


@pytest.mark.parametrize("relative", [1e-3, 0.1, 10.0])
def test_each_penalty_is_the_ridge_of_that_penalty(relative, subsets):
    masks, outputs = subsets
    found = datamodels.datamodel(masks, outputs, np.array([relative]))
    scale = np.linalg.norm(masks - masks.mean(0), 2) ** 2
    expected = [oracle.ridge(masks, y, relative * scale)[0] for y in outputs.T]
    np.testing.assert_allclose(found, np.stack(expected, 1), atol=1e-8)


def test_queries_choose_their_penalties_apart(subsets):
    masks, outputs = subsets
    outputs[:, 0] = np.random.default_rng(1).standard_normal(12)  # nothing to learn
    whole = datamodels.datamodel(masks, outputs)
    for q in range(4):
        alone = datamodels.datamodel(masks, outputs[:, [q]])
        np.testing.assert_allclose(whole[:, [q]], alone, atol=1e-12)


def test_many_subsets_of_a_linear_world_are_understood():
    rng = np.random.default_rng(2)
    masks = np.stack([rng.permutation(10) < 5 for _ in range(200)])
    truth = rng.standard_normal((10, 3))
    outputs = masks @ truth + 0.1 * rng.standard_normal((200, 3))
    for estimate in datamodels.ESTIMATES.values():
        found = estimate(masks, outputs)
        assert min(np.corrcoef(found[:, q], truth[:, q])[0, 1] for q in range(3)) > 0.95


def test_equal_subsets_are_refused():
    with pytest.raises(ValueError, match="all subsets are equal"):
        datamodels.datamodel(np.ones((3, 4), bool), np.zeros((3, 2)))


def test_a_block_of_queries_gets_its_own_outputs(subsets):
    masks, outputs = subsets
    whole = inputs(masks, outputs)
    all_scores = estimate("datamodel", whole)
    some = estimate("datamodel", whole.about([2, 0]))
    np.testing.assert_allclose(some, all_scores[:, [2, 0]], atol=1e-12)
