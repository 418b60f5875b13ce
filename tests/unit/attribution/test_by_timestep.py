"""Kernels that keep timesteps apart, against explicit P x P kernels and loops."""

from dataclasses import replace

import numpy as np
import pytest

import oracle
from dasbench.attribution import transforms
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point, dampings
from dasbench.gradients import features, residuals
from dasbench.registry import METHODS
from stepwise import inputs

T, N, Q = 3, 5, 4
GRID = {"midpoint": [250, 750], "released": [0, 500]}
DAMPINGS = [1e-3, 0.1]


def problem(dimensions, queries=Q):
    """Features by timestep; P below N (primal), between N and T N, and above T N (dual)."""
    rng = np.random.default_rng(dimensions)
    scale = np.array([1.0, 3.0, 0.2])[:, None, None]  # so that "relative to its own" matters
    g = scale * rng.standard_normal((T, N, dimensions))
    return g.astype(np.float32), rng.standard_normal((T, queries, dimensions)).astype(np.float32)


@pytest.mark.parametrize("dimensions", [3, 8, 20])
@pytest.mark.parametrize("leverage", [False, True])
@pytest.mark.parametrize("transform", transforms.TRANSFORMS)
def test_scores_are_those_of_loops(dimensions, leverage, transform):
    g, g_q = problem(dimensions)
    rng = np.random.default_rng(1)
    form = {"leverage": leverage, "transform": transform}
    wide = g.astype(np.float64), g_q.astype(np.float64)
    scale = np.linalg.eigvalsh(oracle.pooled_kernel(wide[0], 0.0)).max()
    for kernel, shape in (("pooled", N), ("per_t", (T, N)), ("per_t", N)):
        r = rng.uniform(0.5, 2, shape).astype(np.float32)
        options = {**METHODS["das"], "kernel": kernel, **form}
        made = list(interface.path(options, inputs(g, g_q, r), dampings(DAMPINGS)))
        for (value, scores), damping in zip(made, DAMPINGS, strict=True):
            assert value == {"damping": damping}
            assert scores.shape == (T, N, Q)
            assert scores.dtype == np.float64
            if kernel == "pooled":
                expected = oracle.das_pooled(*wide, damping * scale, r, **form)
            else:
                expected = oracle.das_per_t(*wide, damping, r, **form)
            got = transforms.combine(scores, transform)
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9 * abs(expected).max())


@pytest.mark.parametrize("dimensions", [3, 8, 20])
def test_das_stepwise_is_the_mean_square_of_influences_by_timestep(dimensions):
    g, g_q = problem(dimensions)
    options = METHODS["das_stepwise"]
    for point, scores in interface.path(options, inputs(g, g_q, None), dampings(DAMPINGS)):
        damping = point["damping"]
        expected = np.zeros((N, Q))
        for one, asked in zip(g.astype(np.float64), g_q.astype(np.float64), strict=True):
            k = oracle.kernel(one, oracle.absolute_damping(one, damping))
            for i, q in np.ndindex(N, Q):
                expected[i, q] += (asked[q] @ np.linalg.solve(k, one[i])) ** 2 / T
        got = transforms.combine(scores, options["transform"])
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9 * expected.max())


@pytest.mark.parametrize("dimensions", [3, 8, 20])
def test_leverages_are_those_of_loops(dimensions):
    g, g_q = problem(dimensions)
    wide, asked = g.astype(np.float64), inputs(g, g_q, None)
    for damping in DAMPINGS:
        scale = np.linalg.eigvalsh(oracle.pooled_kernel(wide, 0.0)).max()
        h = interface.leverages(
            {**METHODS["das"], "kernel": "pooled"}, asked, Point(damping=damping)
        )
        np.testing.assert_allclose(h, oracle.pooled_leverages(wide, damping * scale), rtol=1e-7)
        h = interface.leverages(
            {**METHODS["das"], "kernel": "per_t"}, asked, Point(damping=damping)
        )
        each = [oracle.leverages(one, oracle.absolute_damping(one, damping)) for one in wide]
        np.testing.assert_allclose(h, each, rtol=1e-7)


def test_a_pooled_leverage_may_pass_one_and_is_kept():
    g, g_q = problem(20)
    options = {**METHODS["das"], "kernel": "pooled", "residual": "none", "transform": "identity"}
    asked = inputs(g, g_q, None)
    assert interface.leverages(options, asked, Point(damping=1e-8)).max() > 1
    ((_, with_),) = interface.path(options, asked, dampings([1e-8]))
    ((_, without),) = interface.path({**options, "leverage": False}, asked, dampings([1e-8]))
    assert (with_ * without < 0).any()


def test_blocks_of_queries_change_nothing():
    g, g_q = problem(8, queries=6)
    whole = inputs(g, g_q, None)
    options = {**METHODS["trak"], "kernel": "per_t"}
    ((_, expected),) = interface.path(options, whole, dampings([0.1]))
    asked = [4, 0, 3]
    small = 8 * T * N * 2  # two queries
    blocks = [
        made
        for (made,) in map(list, interface.paths(options, whole, dampings([0.1]), asked, small))
    ]
    assert [scores.shape[2] for _, scores in blocks] == [2, 1]
    joined = np.concatenate([scores for _, scores in blocks], axis=2)
    np.testing.assert_allclose(joined, expected[:, :, asked], rtol=1e-9, atol=1e-12)


def test_written_scores_are_means_of_transformed_ones(tmp_path):
    g, g_q = problem(8)
    options, asked = {**METHODS["das"], "kernel": "pooled"}, inputs(g, g_q, np.full(N, 2, "f4"))
    interface.write_scores(tmp_path / "s.npy", options, asked, Point(damping=0.1), "square")
    ((_, scores),) = interface.path(options, asked, dampings([0.1]))
    expected = (scores**2).mean(0).astype(np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), expected)


def test_denominators_and_unknown_kernels_are_refused():
    g, g_q = problem(8)
    options = {**METHODS["relative_if"], "kernel": "per_t"}
    with pytest.raises(ValueError, match="denominator"):
        next(interface.path(options, inputs(g, g_q, None), dampings([0.1])))
    with pytest.raises(ValueError, match="kernel must be pooled or per_t"):
        Spectra(g).of("median", g_q)


@pytest.mark.parametrize("projection", ["none", "rademacher", "kronecker"])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("rule", ["midpoint", "released"])
def test_features_by_timestep(tiny, projection, normalise, rule):
    settings = {
        "readout": "mean",
        "normalise": normalise,
        "noise": "keyed",
        "timesteps": 2,
        "timestep_rule": rule,
        "draws": 2,
        "dimensions": 128 if projection == "kronecker" else 9,
        "projection": projection,
        "norms": "projected",
        "oversampling": 2,
    }
    readouts = [("mean", normalise), ("loss", False)]
    made = features.Extractor(
        tiny.unet, tiny.process, settings, tiny.axes, batch=2, readouts=readouts
    )
    images, ids = tiny.images["train"], tiny.ids["train"]
    g = made.by_timestep(images, ids, "train")
    averaged = made(images, ids, "train")
    for own, mean in zip(g, averaged, strict=True):
        assert own.shape == (2, *mean.shape)
        assert own.dtype == np.float32
        np.testing.assert_allclose(own.mean(0), mean, rtol=1e-4, atol=1e-6 * abs(mean).max())
    if projection == "none":
        noise = tiny.noise("features")
        expected = oracle.features_by_timestep(
            tiny.model, images, "train", noise, GRID[rule], 2, "mean", normalise, tiny.abar
        )
        np.testing.assert_allclose(g[0], expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


def test_residuals_by_timestep_average_to_the_scalar(tiny):
    settings = {"kind": "scalar", "timesteps": 2, "timestep_rule": "midpoint", "draws": 3}
    given = (tiny.unet, tiny.process, tiny.images["train"], tiny.ids["train"])
    scalar = residuals.compute(*given, settings, tiny.axes)
    apart = residuals.compute(*given, {**settings, "by_timestep": True}, tiny.axes)
    assert apart.shape == (2, len(scalar))
    np.testing.assert_allclose(apart.mean(0), scalar, rtol=1e-6)
    upper = {**settings, "timesteps": 1, "timestep_range": [500, 1000]}
    alone = residuals.compute(*given, upper, tiny.axes)
    np.testing.assert_allclose(apart[1], alone, rtol=1e-6)


def test_a_block_is_a_part_of_the_whole():
    g, g_q = problem(8)
    some = inputs(g, g_q, None).about([2, 0])
    np.testing.assert_array_equal(some.query_timesteps, g_q[:, [2, 0]])
    assert replace(some, query_timesteps=None).about([0]).query_timesteps is None
