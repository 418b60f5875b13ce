"""Averages over models against loops, and the cases in which two of them are one."""

import itertools

import numpy as np
import pytest

import oracle_ensembles
from dasbench.attribution import ensembles
from dasbench.attribution.method_inputs import Computed
from dasbench.attribution.methods import ensembles as method
from dasbench.attribution.methods import interface
from dasbench.registry import METHODS
from stepwise import inputs

S, T, N, Q, P = 3, 4, 9, 5, 6
DAMPINGS = [1e-3, 0.1]


@pytest.fixture(scope="module")
def members():
    """Features [T, N, P] and [T, Q, P] of every member."""
    rng = np.random.default_rng(0)
    return [
        tuple(rng.standard_normal((T, n, P)).astype(np.float32) for n in (N, Q)) for _ in range(S)
    ]


def passes(member):
    """As ``member_features.by_step`` hands them over; the timesteps are 10, 20, …"""
    g, g_q = member
    return [(10 * t, {"train": g[t], "val": g_q[t]}) for t in range(len(g))]


def average(members, function, order):
    parts = [ensembles.contributions(passes(m), DAMPINGS, function, order)["val"] for m in members]
    return ensembles.finished(np.mean(parts, axis=0), function, order)


@pytest.mark.parametrize("order", ensembles.ORDERS)
@pytest.mark.parametrize("function", ensembles.FUNCTIONS)
def test_an_average_is_that_of_loops(members, function, order):
    found = average(members, function, order)
    assert found.shape == (2, N, Q)
    for g, damping in enumerate(DAMPINGS):
        expected = oracle_ensembles.average(members, damping, function, order)
        np.testing.assert_allclose(found[g], expected, rtol=1e-8, atol=1e-12)


def test_pairs_that_are_left_out_are_equal_to_one_that_is_kept(members):
    every = set(itertools.product(ensembles.ORDERS, ensembles.FUNCTIONS))
    for size in (1, S):
        scores = {pair: average(members[:size], *pair[::-1]) for pair in every}
        kept = ensembles.distinct(list(ensembles.FUNCTIONS), ensembles.ORDERS, size)
        assert len(kept) == len(set(kept)) == {1: 15, S: 22}[size]
        for pair in every - set(kept):
            same = [np.allclose(scores[pair], scores[one], rtol=1e-9) for one in kept]
            assert sum(same) == 1
        for a, b in itertools.combinations(kept, 2):
            assert not np.allclose(scores[a], scores[b], rtol=1e-6)


def test_one_member_squared_on_each_timestep_is_das_stepwise(members):
    g, g_q = members[0]
    given, options = inputs(g, g_q, None), METHODS["das_stepwise"]
    points = interface.grid(options, DAMPINGS)
    found = average(members[:1], "square", "each")
    total = np.zeros_like(found)
    for block in interface.blocks(options, {"val": interface.Request(given, points)}):
        for row, (_, scores) in enumerate(block.path):
            total[row] += scores**2 / block.parts
    np.testing.assert_allclose(found, total, rtol=1e-10)


def test_a_timestep_without_gradients_is_refused(members):
    g, g_q = members[0]
    with pytest.raises(ValueError, match="zero"):
        ensembles.contributions(passes((0 * g, g_q)), DAMPINGS, "square", "each")


def stored(values):
    scores = np.random.default_rng(1).standard_normal((len(values), N, Q)).astype(np.float32)
    given = inputs(np.zeros((T, N, P)), np.zeros((T, Q, P)), None)
    return scores, given.__class__(
        **{**given.__dict__, "computed": Computed(np.array(values), scores)}
    )


def test_the_method_of_full_data_models_has_the_dampings_from_least_on():
    options, grid = METHODS["das_ensemble_full"], [1e-8, 1e-3, 0.1]
    points = interface.grid(options, grid)
    assert [point["damping"] for point in points] == [1e-3, 0.1]
    scores, given = stored([1e-3, 0.1])
    for expected, (_, found) in zip(scores, method.path(given, options, points), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert method.searched([1e-8, 1e-4]) == [1e-4]


def test_the_method_of_tuning_models_has_the_scores_of_its_own_choice():
    options = METHODS["das_ensemble"]
    (point,) = interface.grid(options, [1e-8, 1e-3, 0.1])
    assert not point
    scores, given = stored([0.1])
    ((_, found),) = method.path(given.about([3, 1]), options, [point])
    np.testing.assert_array_equal(found, scores[0][:, [3, 1]])
