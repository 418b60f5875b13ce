"""Training images that are asked about themselves, against explicit kernels and loops."""

from dataclasses import replace

import numpy as np
import pytest

from dasbench.attribution import self_check
from dasbench.attribution.parameters import Point
from dasbench.attribution.spectrum import Spectrum
from dasbench.experiments import feature_sets
from dasbench.registry import METHODS
from stepwise import inputs

N, P, T = 9, 4, 3
POINT = Point(damping=1.0)


def gradients(seed=0):
    g = np.random.default_rng(seed).standard_normal((T, N, P))
    return (g * np.linspace(0.1, 2, N)[:, None]).astype(np.float32)


def distinct(given):
    """The inputs with pixels that differ between the images."""
    pixels = np.arange(4 * N, dtype=np.uint8).reshape(N, 2, 2, 1)
    return replace(given, train_images=pixels)


def slow_ranks(g, square, rows):
    """Rank of each row for itself, by the inverse of each timestep's kernel, in loops."""
    scores = np.zeros((N, len(rows)))
    for features in g.astype(np.float64):
        kernel = features.T @ features
        damped = kernel + POINT["damping"] * np.linalg.eigvalsh(kernel).max() * np.eye(P)
        for j, row in enumerate(rows):
            for i in range(N):
                tau = features[row] @ np.linalg.inv(damped) @ features[i]
                scores[i, j] += tau**2 if square else tau
    return [1 + sum(scores[:, j] > scores[row, j]) for j, row in enumerate(rows)]


def test_ranks_of_kernels_by_timestep_are_those_of_loops():
    g, rows = gradients(), np.arange(N)
    given = distinct(inputs(g, g[:, :2], None))
    options = METHODS["das_stepwise"]
    found = self_check.ranks(options, given, POINT, "square", rows)
    assert found.tolist() == slow_ranks(g, True, rows)
    assert found.max() > 1  # a large damping lets long gradients come first


def test_ranks_of_an_averaged_kernel_are_those_of_loops():
    phi, rows = gradients(1)[0], np.array([0, 4, 8])
    given = distinct(inputs(gradients(), gradients(), None))
    given = replace(
        given,
        train_features=phi,
        query_features=phi[:2],
        spectrum=Spectrum(phi),
        query_timesteps=None,
    )
    found = self_check.ranks(METHODS["trak"], given, POINT, "identity", rows)
    assert found.tolist() == slow_ranks(phi[None], False, rows)


def test_identical_images_share_their_rank():
    g = gradients()
    g[:, 3] = 2 * g[:, 5]  # of equal pixels; the larger gradient always comes out on top
    given = distinct(inputs(g, g[:, :1], None))
    given.train_images[3] = given.train_images[5]
    assert self_check.ranks(METHODS["das_stepwise"], given, POINT, "square", [5]).tolist() == [1]


@pytest.mark.parametrize(("count", "chosen"), [(1, [0]), (2, [0, 1]), (31, list(range(0, 31, 2)))])
def test_images_are_spread_evenly(count, chosen):
    assert self_check.choose(count).tolist() == chosen


def test_methods_that_cannot_ask_training_images_are_left_out():
    able = [name for name, options in METHODS.items() if feature_sets.compares_images(options)]
    assert {"das_stepwise", "das_common", "trak", "relative_if"} <= set(able)
    assert not {"journey_trak", "pixel_cosine", "ekfac_if", "random"} & set(able)
