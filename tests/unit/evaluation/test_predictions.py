"""Predictions: sums of scores over subsets, for every damping and transform, in blocks."""

import numpy as np
import pytest

from dasbench.attribution import transforms
from dasbench.attribution.parameters import Point, dampings
from dasbench.evaluation.predictions import predict, sum_scores

N, Q, M = 30, 7, 12
GRID = dampings((1e-2, 1e-3, 1.0))  # in no order


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    masks = np.argsort(rng.random((M, N)), axis=1) < N // 2
    return masks, [(g, rng.normal(size=(N, Q))) for g in GRID]


def make_masks(rng, subsets, examples):
    return np.argsort(rng.random((subsets, examples)), axis=1) < examples // 2


def test_equal_scores_tie_even_where_floating_sums_would_not():
    masks = make_masks(np.random.default_rng(4), 40, 3001)  # long enough for blocked summation
    scores = np.full((3001, 2), 0.1)
    scores[0, 1] = 0.2
    sums = sum_scores(masks, scores)
    assert len(np.unique(sums[:, 0])) == 1
    assert len(np.unique(sums[:, 1])) > 1
    np.testing.assert_allclose(sums, masks.astype(float) @ scores)
    unequal = np.array([[True, False, False], [True, True, False]])
    np.testing.assert_allclose(sum_scores(unequal, np.full((3, 1), 0.1)), [[0.1], [0.2]])


@pytest.mark.parametrize(
    ("shape", "value", "message"), [((N - 1, Q), 0.0, "every example"), ((N, Q), np.nan, "NaN")]
)
def test_scores_that_do_not_fit_are_refused(shape, value, message):
    with pytest.raises(ValueError, match=message):
        sum_scores(make_masks(np.random.default_rng(0), 3, N), np.full(shape, value))


def test_predictions_are_sums_over_the_subset(problem):
    masks, path = problem
    got = predict([iter(path)], masks)
    assert got.points == tuple(GRID)
    assert got.tuned
    assert [got.edge(g) for g in range(3)] == [False, True, True]
    assert [got.find(Point(damping=value)) for value in (1e-3, 1.0)] == [1, 2]
    scores = dict(path)
    for name in transforms.TRANSFORMS:
        assert got.sums[name].shape == (3, M, Q)
        for g, m, q in np.ndindex(3, M, Q):
            column = transforms.apply(scores[got.points[g]], name)[:, q]
            expected = sum(column[n] for n in range(N) if masks[m, n])
            assert got.sums[name][g, m, q] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, Q])
def test_blocks_of_queries_change_rounding_alone(problem, size):
    masks, path = problem
    blocks = (
        [(g, scores[:, start : start + size]) for g, scores in path] for start in range(0, Q, size)
    )
    whole, parts = predict([path], masks), predict(blocks, masks)
    assert parts.points == whole.points
    for name in transforms.TRANSFORMS:
        np.testing.assert_allclose(parts.sums[name], whole.sums[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("points", [[], dampings([0.1, 0.1]), [Point(), Point()]])
def test_paths_that_are_no_grid_are_refused(problem, points):
    with pytest.raises(ValueError, match="different ones, at least one"):
        predict([[(point, np.ones((N, Q))) for point in points]], problem[0])


def test_blocks_with_different_points_are_refused(problem):
    masks, path = problem
    with pytest.raises(ValueError, match="one grid for all"):
        predict([path, path[:2]], masks)
    single = [(Point(), path[0][1])]
    assert not predict([single, single], masks).tuned
