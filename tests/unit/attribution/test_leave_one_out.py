"""Scores without the scored image in the kernel: kernels that really are made without it."""

import numpy as np
import pytest

from dasbench.attribution.leave_one_out import blind_scores, leave_one_out, matches, outside
from dasbench.attribution.spectrum import Spectrum

T, N, D, Q = 3, 7, 5, 4


def problem(dimensions, seed=0):
    """Features by timestep of unequal sizes; P below N is primal, above it dual."""
    rng = np.random.default_rng([dimensions, seed])
    scale = np.array([1.0, 5.0, 0.1])[:, None, None]
    return [scale * rng.standard_normal((T, n, dimensions)) for n in (N, D, Q)]


def loops(train, decoys, queries, damping, transform):
    """Every training image is left out of a P x P kernel of its own, with the lambda of the whole.

    Returns [N, Q] and [D, Q].
    """
    training, plain = np.zeros((N, Q)), np.zeros((D, Q))
    for g, g_d, g_q in zip(train, decoys, queries, strict=True):
        whole = sum(np.outer(a, a) for a in g)
        ridge = damping * np.linalg.eigvalsh(whole).max() * np.eye(len(whole))
        for q in range(Q):
            for i in range(N):
                rest = sum(np.outer(a, a) for k, a in enumerate(g) if k != i)
                training[i, q] += transform(g_q[q] @ np.linalg.solve(rest + ridge, g[i])) / T
            for d in range(D):
                plain[d, q] += transform(g_q[q] @ np.linalg.solve(whole + ridge, g_d[d])) / T
    return training, plain


TRANSFORMS = {
    "identity": lambda s: s,
    "square": lambda s: s * s,
    "signed_square": lambda s: s * abs(s),
}


@pytest.mark.parametrize("dimensions", [3, 7, 20])
@pytest.mark.parametrize("damping", [1e-4, 0.05, 1.0])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_scores_are_those_of_kernels_without_the_image(dimensions, damping, transform):
    given = problem(dimensions)
    found = blind_scores(*given, damping, transform)
    expected = loops(*given, damping, TRANSFORMS[transform])
    for scores, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(scores, truth, rtol=1e-7, atol=1e-9 * abs(truth).max())


def match_loops(train, decoys, queries, damping):
    """Squared cosines under an inverse kernel that is made without the training image."""
    training, plain = np.zeros((N, Q)), np.zeros((D, Q))
    for g, g_d, g_q in zip(train, decoys, queries, strict=True):
        whole = g.T @ g
        ridge = damping * np.linalg.eigvalsh(whole).max() * np.eye(len(whole))
        kernels = [
            np.linalg.inv(np.delete(g, i, 0).T @ np.delete(g, i, 0) + ridge) for i in range(N)
        ]
        kernels += [np.linalg.inv(whole + ridge)] * D
        table = np.concatenate([training, plain])
        for i, (one, k) in enumerate(zip(np.concatenate([g, g_d]), kernels, strict=True)):
            for q, query in enumerate(g_q):
                table[i, q] += (query @ k @ one) ** 2 / (one @ k @ one) / (query @ k @ query) / T
        training, plain = table[:N], table[N:]
    return training, plain


@pytest.mark.parametrize("dimensions", [3, 7, 20])
@pytest.mark.parametrize("damping", [1e-4, 0.05, 1.0])
def test_matches_are_squared_cosines(dimensions, damping):
    given = problem(dimensions)
    found = matches(*given, damping)
    for scores, truth in zip(found, match_loops(*given, damping), strict=True):
        np.testing.assert_allclose(scores, truth, rtol=1e-7, atol=1e-9)
        assert ((scores >= 0) & (scores <= 1 + 1e-9)).all()


@pytest.mark.parametrize("dimensions", [3, 20])
def test_a_copy_of_the_query_matches_it_whatever_its_length(dimensions):
    train, decoys, queries = problem(dimensions)
    lengths = np.random.default_rng(0).uniform(0.1, 10, (T, 1))
    train[:, 2], decoys[:, 3] = lengths * queries[:, 1], -lengths * queries[:, 1]
    found = matches(train, decoys, queries, 0.05)
    np.testing.assert_allclose([found.training[2, 1], found.decoys[3, 1]], 1, rtol=1e-9)


def test_an_image_without_a_gradient_matches_nothing():
    train, decoys, queries = problem(20)
    train[:, 0] = decoys[:, 0] = queries[:, 0] = 0
    found = matches(train, decoys, queries, 0.05)
    for scores in found:
        assert (scores[0] == 0).all()
        assert (scores[:, 0] == 0).all()
        assert (scores[1:, 1:] > 0).all()


@pytest.mark.parametrize("dimensions", [3, 20])
def test_a_copy_of_a_decoy_gets_the_decoys_score(dimensions):
    """Both are scored by a kernel without them: that of all others."""
    train, decoys, queries = problem(dimensions, seed=1)
    joined = np.concatenate([train, decoys[:, :1]], axis=1)
    g, g_q, unit = train[0], queries[0], np.linalg.eigvalsh(joined[0] @ joined[0].T).max()
    as_training = leave_one_out(Spectrum(joined[0], g_q), 0.1)[-1]
    alone = Spectrum(g, g_q)
    as_decoy = outside(alone, decoys[0, :1], g_q, 0.1 * unit / alone.scale)[0]
    np.testing.assert_allclose(as_training, as_decoy, rtol=1e-9)


def test_float32_features_and_no_decoys():
    train, decoys, queries = (a.astype(np.float32) for a in problem(20))
    found = blind_scores(train, decoys[:, :0], queries, 0.05)
    assert found.training.dtype == np.float64
    assert found.decoys.shape == (0, Q)


def test_what_does_not_fit_is_refused():
    train, decoys, queries = problem(20)
    spectrum = Spectrum(train[0], queries[0])
    with pytest.raises(ValueError, match="damping must be positive, got 0"):
        outside(spectrum, decoys[0], queries[0], 0)
    with pytest.raises(ValueError, match="20 dimensions, queries 19"):
        outside(spectrum, decoys[0, :, 1:], queries[0], 0.1)
    with pytest.raises(ValueError, match="longer|shorter"):
        blind_scores(train, decoys[:2], queries, 0.1)
