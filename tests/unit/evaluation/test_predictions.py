"""Predictions: sums of scores over subsets, for every damping and transform, in blocks."""

import numpy as np
import pytest

from dasbench.attribution import transforms
from dasbench.attribution.methods.interface import Block
from dasbench.attribution.parameters import Point, dampings
from dasbench.evaluation.predictions import predict, sum_scores
from stepwise import blocks_of

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
    got = predict(blocks_of([path], size=Q), masks)["val"]
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
    whole = predict(blocks_of([path], size=Q), masks)["val"]
    parts = predict(blocks_of(blocks, size=size), masks)["val"]
    assert parts.points == whole.points
    for name in transforms.TRANSFORMS:
        np.testing.assert_allclose(parts.sums[name], whole.sums[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("points", [[], dampings([0.1, 0.1]), [Point(), Point()]])
def test_paths_that_are_no_grid_are_refused(problem, points):
    with pytest.raises(ValueError, match="different ones, at least one"):
        predict(blocks_of([[(point, np.ones((N, Q))) for point in points]]), problem[0])


def test_blocks_with_different_points_are_refused(problem):
    masks, path = problem
    with pytest.raises(ValueError, match="one grid for all"):
        predict(blocks_of([path, path[:2]]), masks)
    single = [(Point(), path[0][1])]
    assert not predict(blocks_of([single, single]), masks)["val"].tuned


def test_predictions_of_parts_are_averaged_for_each_kind(problem):
    """Three parts of two kinds, as of three timesteps: no mean of scores is ever needed."""
    masks, path = problem
    factors = {"val": (1.0, 2.0, -0.5), "gen": (0.3, 0.0, 4.0)}
    blocks = [
        Block(kind, slice(0, Q), t, 3, iter([(g, by[t] * scores) for g, scores in path]))
        for t in range(3)
        for kind, by in factors.items()
    ]
    got = predict(blocks, masks)
    for kind, by in factors.items():
        for name in transforms.TRANSFORMS:
            for g, (_, scores) in enumerate(path):
                mean = np.mean([transforms.apply(f * scores, name) for f in by], axis=0)
                np.testing.assert_allclose(got[kind].sums[name][g], masks @ mean, rtol=1e-9)


def test_equal_scores_tie_in_every_number_of_parts():
    masks = make_masks(np.random.default_rng(4), 40, 3001)
    values = (0.1, 0.7, 0.2)
    scores = [np.full((3001, 2), value) for value in values]
    blocks = [Block("val", slice(0, 2), t, 3, iter([(Point(), s)])) for t, s in enumerate(scores)]
    for name, sums in predict(blocks, masks)["val"].sums.items():
        assert len(np.unique(sums)) == 1
        mean = np.mean([transforms.apply(np.array(value), name) for value in values])
        np.testing.assert_allclose(sums, 1500 * mean)
