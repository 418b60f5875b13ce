"""Criteria along the damping grid, against loops over queries, timesteps and dampings."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dasbench.attribution import cross_validation, transforms
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import dampings
from dasbench.attribution.spectrum import Spectrum
from dasbench.evaluation import damping_criteria, predictions
from dasbench.registry import METHODS
from stepwise import every_part, inputs

T, N, P, Q, GRID = 3, 12, 7, 10, [1e-3, 1e-2, 1.0]
QUERIES, ASKED = [9, 0, 3, 4, 8, 1], slice(2, 6)  # two tuning queries, then the asked ones
OPTIONS = {"per_t": METHODS["das_stepwise"], "averaged": METHODS["das_common"]}


def given(kernel, seed=0):
    """Inputs of a method; ``seed`` draws the noise of its features."""
    rng, noise = np.random.default_rng(1), np.random.default_rng(seed)
    g = rng.standard_normal((T, N, P)) * np.array([1, 5, 0.2])[:, None, None]
    g_q = rng.standard_normal((T, Q, P))
    g, g_q = ((a + 0.3 * noise.standard_normal(a.shape)).astype("f4") for a in (g, g_q))
    made = inputs(g, g_q, rng.uniform(1, 2, N).astype("f4"))
    if kernel == "per_t":
        return made
    one = {"train_features": g[0], "query_features": g_q[0], "spectrum": Spectrum(g[0])}
    return replace(made, query_timesteps=None, **one)


def request(kernel, seed=0, queries=QUERIES):
    return {"val": interface.Request(given(kernel, seed), dampings(GRID), queries)}


def watch(kernel, masks, residuals):
    twins, asked = {"val": given(kernel, seed=5)}, {"val": ASKED}
    return damping_criteria.watch(OPTIONS[kernel], request(kernel), asked, masks, residuals, twins)


def features(inputs, t):
    """Of the training images and the queries, at one timestep."""
    if inputs.query_timesteps is None:
        return inputs.train_features, inputs.query_features
    return inputs.spectrum.train[t], inputs.query_timesteps[t]


@pytest.fixture
def masks():
    return np.random.default_rng(2).integers(0, 2, (5, N)).astype(bool)


@pytest.fixture(params=list(OPTIONS))
def kernel(request):
    return request.param


@pytest.fixture(params=[1, 2, 99], ids=lambda n: f"blocks of {n}")
def blocks(request, monkeypatch):
    """Blocks of few queries, which begin and end among the tuning queries and the asked ones."""
    monkeypatch.setattr(interface.blocks, "__defaults__", (request.param * 8 * N,))


@pytest.fixture
def residuals(kernel):
    y = np.random.default_rng(3).uniform(1, 2, (T, N)).astype("f4")
    return y if kernel == "per_t" else y[0]


def test_everything_is_made_in_one_pass(kernel, blocks, masks, residuals):
    options, asked = OPTIONS[kernel], QUERIES[ASKED]
    watched = watch(kernel, masks, residuals)
    expected = predictions.predict(interface.blocks(options, request(kernel)), masks)["val"]
    assert watched.predicted["val"].points == expected.points
    for name, sums in expected.sums.items():
        np.testing.assert_array_equal(watched.predicted["val"].sums[name], sums)
    whole, twin = given(kernel), given(kernel, seed=5)
    scores = every_part(options, whole, dampings(GRID), asked)
    crossed, by_query, by_residual = [], [], []
    y = np.broadcast_to(residuals, (T, N))
    for t in range(T if kernel == "per_t" else 1):
        (g, g_q), (other, other_q) = features(whole, t), features(twin, t)
        spectrum = Spectrum(g)
        by_query.append(cross_validation.query_gcv(spectrum, g_q[asked], GRID))
        by_residual.append(cross_validation.residual_gcv(spectrum, y[t], GRID))
        pairs = spectrum, g_q[asked], other, other_q[asked], GRID
        crossed.append(cross_validation.draw_error(*pairs))
    found = {rule: values["val"] for rule, values in watched.criteria.items()}
    np.testing.assert_allclose(found["gcv_query"], np.mean(by_query, axis=(0, 2)))
    np.testing.assert_allclose(found["gcv_residual"], np.mean(by_residual, axis=0))
    np.testing.assert_allclose(found["cross_draw"], np.mean(crossed, axis=(0, 2)))
    for index, (point, parts) in enumerate(scores.items()):
        assert point["damping"] == GRID[index]
        kept = watched.scores["val", index]
        assert kept.dtype == np.float64  # float32 squares of small scores would be ties
        for t, name in enumerate(transforms.TRANSFORMS):
            mean = transforms.apply(parts, name).mean(0)
            np.testing.assert_allclose(kept[t], mean, atol=1e-12 * abs(mean).max())


def test_two_draws_agree_as_far_as_their_ranks_do(kernel, blocks, masks, residuals):
    options, asked = OPTIONS[kernel], QUERIES[ASKED]
    watched = watch(kernel, masks, residuals)
    twin = damping_criteria.scores_of(options, request(kernel, seed=5, queries=asked))
    found = damping_criteria.agreement(watched.scores, twin, "val")
    pairs = [every_part(options, given(kernel, s), dampings(GRID), asked) for s in (0, 5)]
    for name in transforms.TRANSFORMS:
        for index, (a, b) in enumerate(zip(*(p.values() for p in pairs), strict=True)):
            a, b = (transforms.apply(one, name).mean(0) for one in (a, b))  # noqa: PLW2901
            each = [stats.spearmanr(a[:, q], b[:, q])[0] for q in range(len(asked))]
            assert found[name][index] == pytest.approx(np.mean(each))
            assert 0 < found[name][index] < 1
    same = damping_criteria.agreement(watched.scores, watched.scores, "val")
    assert all(values == pytest.approx(1) for values in same.values())


def test_scores_without_a_ranking_agree_with_nothing():
    rng = np.random.default_rng(0)
    a = {("val", 0): rng.standard_normal((3, N, 2)).astype("f4")}
    b = {key: value.copy() for key, value in a.items()}
    b["val", 0][:, :, 1] = 1.0
    assert damping_criteria.agreement(a, b, "val")["identity"].tolist() == pytest.approx([0.5])
