"""Kernels that keep timesteps apart, against explicit P x P kernels and loops."""

import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest

import oracle
from dasbench.attribution import spectrum, transforms
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.decomposition import decompose
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point, dampings
from dasbench.evaluation import predictions
from dasbench.gradients import features, residuals
from dasbench.registry import METHODS
from stepwise import every_leverage, every_part, inputs, predicted

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
        made = every_part(options, inputs(g, g_q, r), dampings(DAMPINGS))
        for (value, scores), damping in zip(made.items(), DAMPINGS, strict=True):
            assert value == {"damping": damping}
            assert scores.shape == (T, N, Q)
            assert scores.dtype == np.float64
            if kernel == "pooled":
                expected = oracle.das_pooled(*wide, damping * scale, r, **form)
            else:
                expected = oracle.das_per_t(*wide, damping, r, **form)
            got = transforms.apply(scores, transform).mean(0)
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9 * abs(expected).max())


@pytest.mark.parametrize("dimensions", [3, 8, 20])
def test_das_stepwise_is_the_mean_square_of_influences_by_timestep(dimensions):
    g, g_q = problem(dimensions)
    options = METHODS["das_stepwise"]
    made = every_part(options, inputs(g, g_q, None), dampings(DAMPINGS))
    for point, scores in made.items():
        damping = point["damping"]
        expected = np.zeros((N, Q))
        for one, asked in zip(g.astype(np.float64), g_q.astype(np.float64), strict=True):
            k = oracle.kernel(one, oracle.absolute_damping(one, damping))
            for i, q in np.ndindex(N, Q):
                expected[i, q] += (asked[q] @ np.linalg.solve(k, one[i])) ** 2 / T
        got = transforms.apply(scores, options["transform"]).mean(0)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9 * expected.max())


@pytest.mark.parametrize("dimensions", [3, 8, 20])
def test_leverages_are_those_of_loops(dimensions):
    g, g_q = problem(dimensions)
    wide, asked = g.astype(np.float64), inputs(g, g_q, None)
    for damping in DAMPINGS:
        scale = np.linalg.eigvalsh(oracle.pooled_kernel(wide, 0.0)).max()
        options, point = {**METHODS["das"], "kernel": "pooled"}, Point(damping=damping)
        h = every_leverage(options, asked, point)
        expected = [oracle.pooled_leverages(wide, damping * scale)] * T  # of every tau_t
        np.testing.assert_allclose(h, expected, rtol=1e-7)
        h = every_leverage({**options, "kernel": "per_t"}, asked, point)
        each = [oracle.leverages(one, oracle.absolute_damping(one, damping)) for one in wide]
        np.testing.assert_allclose(h, each, rtol=1e-7)


def test_a_pooled_leverage_may_pass_one_and_is_kept():
    g, g_q = problem(20)
    options = {**METHODS["das"], "kernel": "pooled", "residual": "none", "transform": "identity"}
    asked = inputs(g, g_q, None)
    assert every_leverage(options, asked, Point(damping=1e-8)).max() > 1
    with_, without = (
        every_part({**options, "leverage": leverage}, asked, dampings([1e-8]))[Point(damping=1e-8)]
        for leverage in (True, False)
    )
    assert (with_ * without < 0).any()


@pytest.mark.parametrize("kernel", ["per_t", "pooled"])
def test_blocks_of_queries_change_nothing(kernel):
    g, g_q = problem(8, queries=6)
    whole, few = inputs(g, g_q, None), [4, 0, 3]
    options, small = {**METHODS["das"], "residual": "none", "kernel": kernel}, 8 * N * 2
    (expected,) = every_part(options, whole, dampings([0.1])).values()
    (found,) = every_part(options, whole, dampings([0.1]), few, small).values()
    np.testing.assert_allclose(found, expected[:, :, few], rtol=1e-9, atol=1e-12)
    request = interface.Request(whole, dampings([0.1]), few)
    blocks = [block.columns for block in interface.blocks(options, {"val": request}, small)]
    assert blocks == [slice(0, 2), slice(2, 3)] * T


@pytest.mark.parametrize("kernel", ["per_t", "pooled"])
@pytest.mark.parametrize("transform", transforms.TRANSFORMS)
def test_written_scores_are_means_of_transformed_ones(kernel, transform, tmp_path, monkeypatch):
    g, g_q = problem(8)
    options, asked = {**METHODS["das"], "kernel": kernel}, inputs(g, g_q, np.full(N, 2, "f4"))
    chosen = {"val": Point(damping=0.1), "gen": Point(damping=1e-3)}
    requests = {
        "val": interface.Request(asked, [chosen["val"]]),
        "gen": interface.Request(asked.about([2, 0]), [chosen["gen"]]),
    }
    monkeypatch.setattr(interface.blocks, "__defaults__", (3 * 8 * N,))
    interface.write_scores(tmp_path, options, requests, transform)
    for kind, queries in (("val", range(Q)), ("gen", [2, 0])):
        (scores,) = every_part(options, asked, [chosen[kind]], queries).values()
        expected = transforms.apply(scores, transform).mean(0)
        found = np.load(tmp_path / f"{kind}.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-7 * abs(expected).max())


def test_predictions_are_sums_of_means_over_timesteps():
    g, g_q = problem(8)
    masks = np.random.default_rng(0).random((7, N)) < 0.5
    options, asked = METHODS["das_stepwise"], inputs(g, g_q, None)
    made = predicted(options, asked, dampings(DAMPINGS), masks)
    wide = g.astype(np.float64), g_q.astype(np.float64)
    for k, damping in enumerate(DAMPINGS):
        for name in transforms.TRANSFORMS:
            scores = oracle.das_per_t(*wide, damping, leverage=False, transform=name)
            expected = masks.astype(float) @ scores
            scale = 1e-9 * abs(expected).max()
            np.testing.assert_allclose(made.sums[name][k], expected, rtol=1e-6, atol=scale)


def test_a_score_that_is_no_number_is_refused_at_any_timestep():
    g, g_q = problem(8)
    g_q[T - 1, 0, 0] = np.nan
    given, masks = inputs(g, g_q, None), np.ones((2, N), bool)
    with pytest.raises(ValueError, match="NaN"):
        predicted(METHODS["das_stepwise"], given, dampings([0.1]), masks)


def test_a_kernel_is_decomposed_once_for_all_queries_and_forgotten(monkeypatch):
    g, g_q = problem(8, queries=6)
    given, made, alive = inputs(g, g_q, None), [], []

    def counted(rows):
        alive.append(sum(ref() is not None for ref in made))
        found = decompose(rows)
        made.append(weakref.ref(found.eigenvectors))
        return found

    monkeypatch.setattr(spectrum, "decompose", counted)
    requests = {
        kind: interface.Request(given, dampings(DAMPINGS), None, Point(damping=0.1))
        for kind in ("val", "gen")
    }
    blocks = interface.blocks(METHODS["das_stepwise"], requests, 2 * 8 * N)
    predictions.predict(blocks, np.ones((2, N), bool))
    assert alive == [0] * T


# the dual form of the pooled kernel has a row for each of its gradients
@pytest.mark.parametrize(("kernel", "dimensions"), [("per_t", 30), ("per_t", 2000), ("pooled", 30)])
def test_memory_does_not_grow_with_timesteps(kernel, dimensions, tmp_path, monkeypatch):
    defaults = (2**16, "cpu")  # small blocks, as features are here
    monkeypatch.setattr(decompose, "__defaults__", defaults)
    options, masks = {**METHODS["das_stepwise"], "kernel": kernel}, np.ones((2, 300), bool)
    peaks = []
    for steps in (2, 8):
        rng = np.random.default_rng(0)
        g, g_q = (rng.standard_normal((steps, n, dimensions), np.float32) for n in (300, 40))
        requests = {"val": interface.Request(inputs(g, g_q, None), dampings([0.1]))}
        tracemalloc.start()
        predictions.predict(interface.blocks(options, requests), masks)
        interface.write_scores(tmp_path, options, requests, "square")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_several_parts_have_no_single_path():
    g, g_q = problem(8)
    with pytest.raises(ValueError, match="have 3 parts"):
        next(interface.path(METHODS["das_stepwise"], inputs(g, g_q, None), dampings([0.1])))


def test_denominators_and_unknown_kernels_are_refused():
    g, g_q = problem(8)
    options = {**METHODS["relative_if"], "kernel": "per_t"}
    with pytest.raises(ValueError, match="denominator"):
        interface.parts(options, inputs(g, g_q, None))
    with pytest.raises(ValueError, match="kernel must be averaged, pooled, per_t, got 'median'"):
        Spectra(g).steps("median")


def test_the_averaged_kernel_is_that_of_the_mean_features():
    g, _ = problem(8)
    made, expected = Spectra(g).at("averaged", 0), spectrum.Spectrum(g.mean(0, dtype=np.float64))
    np.testing.assert_array_equal(made.eigenvalues, expected.eigenvalues)
    assert Spectra(g).steps("averaged") == 1


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
