"""Cosines by timestep against loops."""

import numpy as np
import pytest

from dasbench.attribution.methods import interface
from dasbench.experiments import feature_sets
from dasbench.registry import METHODS
from stepwise import every_part, inputs

OPTIONS = METHODS["gradient_cosine_stepwise"]
T, N, Q, P = 3, 5, 4, 6


def problem():
    rng = np.random.default_rng(0)
    lengths = np.array([1.0, 30.0, 0.2])[:, None, None]  # one timestep has far longer gradients
    g = lengths * rng.standard_normal((T, N, P))
    g[1, 2] = 0  # an example without a gradient
    return g.astype(np.float32), rng.standard_normal((T, Q, P)).astype(np.float32)


@pytest.mark.parametrize("measure", ["cosine", "dot"])
def test_scores_are_the_mean_over_timesteps_of_loops(measure):
    g, g_q = problem()
    options, points = {**OPTIONS, "measure": measure}, interface.grid(OPTIONS, [])
    ((_, parts),) = every_part(options, inputs(g, g_q, None), points).items()
    assert parts.shape == (T, N, Q)
    expected = np.zeros((N, Q))
    for t, i, q in np.ndindex(T, N, Q):
        a, b = g[t, i].astype(float), g_q[t, q].astype(float)
        product, length = a @ b, np.sqrt(a @ a) * np.sqrt(b @ b)
        if measure == "cosine":
            product = product / length if length else 0.0
        expected[i, q] += product / T
    np.testing.assert_allclose(parts.mean(0), expected, rtol=1e-6, atol=1e-9)


def test_a_timestep_counts_the_same_however_long_its_gradients_are():
    g, g_q = problem()
    points = interface.grid(OPTIONS, [])
    ((_, plain),) = every_part(OPTIONS, inputs(g, g_q, None), points).items()
    ((_, longer),) = every_part(OPTIONS, inputs(g * 8, g_q, None), points).items()
    np.testing.assert_allclose(longer, plain, rtol=1e-6)


def test_its_features_are_those_of_das_stepwise():
    assert OPTIONS["features"] == METHODS["das_stepwise"]["features"]
    assert feature_sets.keeps_timesteps(OPTIONS)
    assert not feature_sets.has_spectrum(OPTIONS)
    assert not feature_sets.keeps_timesteps(METHODS["gradient_cosine"])
