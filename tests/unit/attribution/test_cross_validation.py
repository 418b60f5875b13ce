"""Cross-validation of the damping, against hat matrices and refits without a value."""

import numpy as np
import pytest
from scipy.linalg import hadamard

from dasbench.attribution.cross_validation import draw_error, query_gcv, residual_gcv
from dasbench.attribution.spectrum import Spectrum

DAMPINGS = [1e-6, 1e-3, 0.1, 1.0]


def ridge_hat(x, penalty):
    """H of the ridge regression of observations on x [observations, predictors]."""
    return x @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T)


def dense_gcv(x, y, penalty):
    """GCV of one regression over that of a regression on nothing."""
    n, left = len(y), np.eye(len(y)) - ridge_hat(x, penalty)
    return (np.square(left @ y).mean() / (np.trace(left) / n) ** 2) / np.square(y).mean()


def left_out(x, y, penalty):
    """Mean squared error of predictions of each observation by a fit to the others."""
    errors = []
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        a, b = x[kept], y[kept]
        fit = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ b)
        errors.append(y[i] - x[i] @ fit)
    return np.square(errors).mean()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("p", [4, 9, 20])
def test_both_are_those_of_dense_hat_matrices(rng, p):
    """Primal, square and dual; in the last two also with an image that occurs twice."""
    phi, queries, y = rng.standard_normal((9, p)), rng.standard_normal((3, p)), rng.uniform(1, 2, 9)
    phi[8] = phi[7] if p > 4 else phi[8]
    kernel = Spectrum(phi)
    by_query, by_residual = query_gcv(kernel, queries, DAMPINGS), residual_gcv(kernel, y, DAMPINGS)
    assert by_query.shape == (len(DAMPINGS), 3)
    for g, damping in enumerate(DAMPINGS):
        penalty = damping * np.linalg.eigvalsh(phi @ phi.T).max()
        expected = [dense_gcv(phi.T, query, penalty) for query in queries]
        np.testing.assert_allclose(by_query[g], expected, rtol=1e-5)
        np.testing.assert_allclose(by_residual[g], dense_gcv(phi, y, penalty), rtol=1e-5)


def test_it_is_the_error_left_out_where_all_leverages_are_equal(rng):
    """Columns of a Hadamard matrix: each observation has the same part in each column."""
    x, y = hadamard(8)[:, [0, 1, 2, 5]] * [3.0, 2.0, 1.0, 0.2], rng.standard_normal(8)
    rows, columns = Spectrum(x), Spectrum(x.T)  # observations are images, or coordinates
    penalties = np.multiply(DAMPINGS, np.linalg.eigvalsh(x.T @ x).max())
    expected = np.array([left_out(x, y, p) for p in penalties]) / np.square(y).mean()
    np.testing.assert_allclose(residual_gcv(rows, y, DAMPINGS), expected)
    np.testing.assert_allclose(query_gcv(columns, y[None], DAMPINGS)[:, 0], expected)


@pytest.mark.parametrize("noise", [0.03, 1.0, 10.0])
def test_it_chooses_a_damping_for_the_noise_that_there_is(rng, noise):
    """Its choice predicts the truth about as well as the best damping of the grid."""
    grid = np.logspace(-6, 1, 40)
    x = rng.standard_normal((400, 60)) * np.logspace(0, -2, 60)
    truth = x @ rng.standard_normal((60, 5))
    y = truth + noise * rng.standard_normal(truth.shape)
    top = np.linalg.eigvalsh(x.T @ x).max()
    errors = np.array([np.square(ridge_hat(x, g * top) @ y - truth).mean(0) for g in grid])
    values = query_gcv(Spectrum(x.T), y.T, grid)
    np.testing.assert_allclose(
        values, np.stack([residual_gcv(Spectrum(x), one, grid) for one in y.T], axis=1)
    )
    chosen = errors[values.argmin(0), np.arange(5)]
    assert (chosen <= 1.5 * errors.min(0)).all()
    assert (chosen < errors[-1]).all() or noise == 10.0
    assert (chosen < errors[0]).all() or noise == 0.03


@pytest.mark.parametrize("p", [4, 20])
def test_coefficients_of_one_draw_are_tried_on_the_other(rng, p):
    phi, queries = rng.standard_normal((9, p)), rng.standard_normal((3, p))
    train, others = rng.standard_normal((9, 6)), rng.standard_normal((3, 6))
    found = draw_error(Spectrum(phi), queries, train, others, DAMPINGS)
    for g, damping in enumerate(DAMPINGS):
        penalty = damping * np.linalg.eigvalsh(phi @ phi.T).max()
        for q, query in enumerate(queries):
            s = np.linalg.solve(phi @ phi.T + penalty * np.eye(9), phi @ query)
            left = others[q] - train.T @ s
            assert found[g, q] == pytest.approx((left @ left) / (others[q] @ others[q]))


def test_the_other_draw_chooses_a_damping_for_the_noise_of_the_features(rng):
    """Features are a signal and noise of their own draw: the more noise, the more damping."""
    grid, chosen = np.logspace(-6, 1, 40), []
    signal = rng.standard_normal((60, 300)) * np.logspace(0, -3, 60)[:, None]
    asked = rng.standard_normal((4, 60)) @ signal
    for noise in (0.001, 0.1, 1.0):
        a, b = (signal + noise * rng.standard_normal(signal.shape) for _ in range(2))
        x, y = (asked + noise * rng.standard_normal(asked.shape) for _ in range(2))
        errors = draw_error(Spectrum(a), x, b, y, grid).mean(1)
        chosen.append(errors.argmin())
    assert chosen[0] < chosen[1] < chosen[2]


def test_what_explains_nothing_is_one_and_zeros_are_refused(rng):
    phi = rng.standard_normal((5, 8))
    kernel = Spectrum(phi)
    np.testing.assert_allclose(query_gcv(kernel, rng.standard_normal((2, 8)), [1e12]), 1, rtol=1e-6)
    with pytest.raises(ValueError, match="zeros"):
        draw_error(kernel, np.ones((1, 8)), phi, np.zeros((1, 8)), [0.1])
    with pytest.raises(ValueError, match="zeros"):
        query_gcv(kernel, np.zeros((1, 8)), [0.1])
    with pytest.raises(ValueError, match="zeros"):
        residual_gcv(kernel, np.zeros(5), [0.1])
