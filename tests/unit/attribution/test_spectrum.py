"""The kernel: both forms, every damping, leverage near 1; references in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from dasbench.attribution.spectrum import Spectrum, damping_grid

DAMPINGS = [1e-5, 1e-3, 0.2, 1.0]
SHAPES = pytest.mark.parametrize(("n", "p"), [(5, 9), (9, 5), (6, 6), (1, 4), (8, 1)])


def problem(n, p, q=3, seed=0):
    rng = np.random.default_rng([n, p, seed])
    return rng.standard_normal((n, p)), rng.standard_normal((q, p))


def primal(phi, phi_q):
    """The P x P form whatever N: rows of zeros leave K as it is."""
    made = Spectrum(np.concatenate([phi, np.zeros((phi.shape[1] + 1, phi.shape[1]))]), phi_q)
    assert not made.dual
    return made


def dual(phi, phi_q):
    """The N x N form whatever P: features that are always zero leave all products as they are."""
    wide = [np.concatenate([a, np.zeros((len(a), len(phi)))], axis=1) for a in (phi, phi_q)]
    made = Spectrum(*wide)
    assert made.dual
    return made


def exact_solve(matrix, right):
    """Gauss-Jordan elimination in fractions."""
    rows = [list(a) + list(b) for a, b in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = max(range(k, len(rows)), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [a / rows[k][k] for a in rows[k]]
        for i in range(len(rows)):
            if i != k:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[len(rows) :] for row in rows]


def exact(phi, phi_q, damping):
    """inner [N, Q], 1 - h [N] and ||K^-1 phi_i|| [N] without rounding; damping absolute."""
    a, b = ([[Fraction(float(v)) for v in row] for row in m] for m in (phi, phi_q))
    p = range(phi.shape[1])
    k = [[sum(r[i] * r[j] for r in a) + (i == j) * Fraction(damping) for j in p] for i in p]
    columns = exact_solve(k, [[r[i] for r in a] for i in p])  # K^-1 Phi^T, [P, N]
    inner = [[sum(columns[i][n] * q[i] for i in p) for q in b] for n in range(len(a))]
    h = [sum(columns[i][n] * a[n][i] for i in p) for n in range(len(a))]
    norm = [float(sum(columns[i][n] ** 2 for i in p)) ** 0.5 for n in range(len(a))]
    return np.array(inner, float), np.array([float(1 - v) for v in h]), np.array(norm)


def relative(a, b):
    """Largest error over the largest value of a column."""
    return (np.abs(a - b).max(0) / np.abs(b).max(0)).max()


@pytest.mark.parametrize("form", [Spectrum, primal, dual])
@pytest.mark.parametrize("damping", DAMPINGS)
@SHAPES
def test_products_are_those_of_the_oracle(n, p, damping, form):
    phi, phi_q = problem(n, p)
    spectrum = form(phi, phi_q)
    absolute = oracle.absolute_damping(phi, damping)
    assert abs(spectrum.scale * damping / absolute - 1) < 1e-12
    assert relative(spectrum.inner(damping)[:n], oracle.trak(phi, phi_q, absolute)) < 1e-8
    h = oracle.leverages(phi, absolute)
    np.testing.assert_allclose(spectrum.one_minus_leverage(damping)[:n], 1 - h, rtol=1e-8)
    steps = [np.linalg.solve(oracle.kernel(phi, absolute), a) for a in phi]
    norms = np.linalg.norm(steps, axis=1)
    np.testing.assert_allclose(spectrum.preconditioned_norm(damping)[:n], norms, rtol=1e-8)


@SHAPES
def test_the_smaller_form_is_used(n, p):
    assert Spectrum(*problem(n, p)).dual == (n <= p)
    assert len(Spectrum(*problem(n, p)).eigenvalues) == min(n, p)


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 12),
    p=st.integers(1, 12),
    exponent=st.integers(-5, 1),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 10**6),
)
def test_primal_and_dual_agree(n, p, exponent, scale, seed):
    phi, phi_q = problem(n, p, seed=seed)
    damping, (one, two) = 10.0**exponent, (form(scale * phi, phi_q) for form in (primal, dual))
    assert abs(one.scale / two.scale - 1) < 1e-12
    inner = one.inner(damping)[:n]
    assert np.abs(inner - two.inner(damping)).max() <= 1e-8 * max(np.abs(inner).max(), 1e-3 / scale)
    a, b = one.one_minus_leverage(damping)[:n], two.one_minus_leverage(damping)
    np.testing.assert_allclose(a, b, rtol=1e-8)
    a, b = one.preconditioned_norm(damping)[:n], two.preconditioned_norm(damping)
    np.testing.assert_allclose(a, b, rtol=1e-8)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 12), p=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_leverage_is_between_zero_and_one_and_falls_with_damping(n, p, seed):
    spectrum = Spectrum(*problem(n, p, seed=seed))
    before = np.zeros(n)
    for damping in (1e-8, 1e-4, 1e-2, 1.0, 100.0):
        left = spectrum.one_minus_leverage(damping)
        assert (left > 0).all()
        assert (left <= 1).all()
        assert (left >= before * (1 - 1e-6)).all()
        before = left
        effective = (spectrum.eigenvalues / (spectrum.eigenvalues + damping * spectrum.scale)).sum()
        assert abs((1 - left).sum() - effective) < 1e-9 * n
    assert (left > 0.9).all()


@pytest.mark.parametrize("damping", [1e-8, 1e-6, 1e-2])
@pytest.mark.parametrize("form", [primal, dual])
def test_leverage_near_one_keeps_its_digits(form, damping):
    """One example far longer than the others: h = 1 - damping, to many digits."""
    phi, phi_q = problem(5, 4)
    phi[2] *= 1e5
    spectrum = form(phi, phi_q)
    inner, left, norm = exact(phi, phi_q, damping * spectrum.scale)
    assert left[2] < 1.1 * damping
    ours = spectrum.one_minus_leverage(damping)[:5]
    # 1 - h cancels in the primal form: 16 digits less the 8 of the smallest damping
    tolerance = 1e-9 if form is dual else 1e-9 + 1e-14 / damping
    np.testing.assert_allclose(ours[2], left[2], rtol=tolerance)
    np.testing.assert_allclose(ours, left, rtol=1e-8 + 1e-14 / damping)
    # lengths that differ by 1e5 make eigenvalues that differ by 1e10
    np.testing.assert_allclose(spectrum.preconditioned_norm(damping)[:5], norm, rtol=1e-6)
    assert relative(spectrum.inner(damping)[:5], inner) < 1e-7


@pytest.mark.parametrize("form", [primal, dual])
def test_a_rank_deficient_kernel_at_the_smallest_damping(form):
    """Where float32 inverses fail: rank 2, kernel 7 x 7 or 6 x 6, damping 1e-8."""
    rng = np.random.default_rng(0)
    basis = rng.integers(-3, 4, (2, 6)).astype(float)
    phi = rng.integers(-3, 4, (7, 2)).astype(float) @ basis
    phi_q = rng.integers(-3, 4, (3, 2)).astype(float) @ basis
    spectrum = form(phi, phi_q)
    inner, left, norm = exact(phi, phi_q, 1e-8 * spectrum.scale)
    np.testing.assert_allclose(spectrum.inner(1e-8)[:7], inner, atol=1e-5 * np.abs(inner).max())
    np.testing.assert_allclose(spectrum.one_minus_leverage(1e-8)[:7], left, rtol=1e-5)
    assert relative(spectrum.preconditioned_norm(1e-8)[:7], norm) < 1e-5
    single = (phi @ phi.T + 1e-8 * spectrum.scale * np.eye(7)).astype(np.float32)
    naive = np.linalg.inv(single) @ (phi @ phi_q.T).astype(np.float32)
    assert relative(naive, inner) > 1e-2  # the problem is one where precision matters


@pytest.mark.parametrize("damping", [1e-8, 1e-6, 1e-3])
@pytest.mark.parametrize(("n", "p"), [(12, 20), (20, 12)])
def test_images_that_are_twice_in_the_training_set(n, p, damping):
    """A singular kernel: rounding in an eigenvalue of zero must not count as a direction."""
    phi, phi_q = problem(n, p)
    phi[n // 2 :] = phi[: n // 2]
    spectrum = Spectrum(phi, phi_q)
    inner, left, norm = exact(phi, phi_q, damping * spectrum.scale)
    np.testing.assert_allclose(spectrum.preconditioned_norm(damping), norm, rtol=1e-6)
    np.testing.assert_allclose(spectrum.one_minus_leverage(damping), left, rtol=1e-6)
    assert relative(spectrum.inner(damping), inner) < 1e-6


def test_float32_features_are_computed_with_in_float64():
    phi, phi_q = (a.astype(np.float32) for a in problem(6, 20))
    single, double = Spectrum(phi, phi_q), Spectrum(phi.astype(float), phi_q.astype(float))
    for damping in (1e-8, 1e-2):
        np.testing.assert_array_equal(single.inner(damping), double.inner(damping))
        a, b = single.one_minus_leverage(damping), double.one_minus_leverage(damping)
        np.testing.assert_array_equal(a, b)
    assert single.inner(1e-3).dtype == np.float64


@SHAPES
def test_one_decomposition_serves_every_damping_in_any_order(n, p):
    phi, phi_q = problem(n, p)
    kept = phi.copy(), phi_q.copy()
    spectrum = Spectrum(phi, phi_q)
    for damping in (1.0, 1e-5, 0.2, 1.0):
        fresh = Spectrum(phi, phi_q)
        np.testing.assert_array_equal(spectrum.inner(damping), fresh.inner(damping))
        a, b = (s.one_minus_leverage(damping) for s in (spectrum, fresh))
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(phi, kept[0])
    np.testing.assert_array_equal(phi_q, kept[1])


def test_damping_is_relative_to_the_largest_eigenvalue():
    """Scaling all features of a kernel changes nothing but the unit of the query."""
    phi, phi_q = problem(5, 8)
    one, two = Spectrum(phi, phi_q), Spectrum(10 * phi, phi_q)
    assert abs(two.scale / one.scale - 100) < 1e-9
    np.testing.assert_allclose(two.inner(0.01) * 10, one.inner(0.01), rtol=1e-9)
    a, b = one.one_minus_leverage(0.01), two.one_minus_leverage(0.01)
    np.testing.assert_allclose(a, b, rtol=1e-9)


def test_orthogonal_examples_in_closed_form():
    lengths = np.array([1.0, 2.0, 5.0])
    spectrum = Spectrum(np.diag(lengths), np.eye(3))
    shifted = lengths**2 + 0.1 * 25
    np.testing.assert_allclose(spectrum.inner(0.1), np.diag(lengths / shifted), rtol=1e-12)
    np.testing.assert_allclose(spectrum.one_minus_leverage(0.1), 2.5 / shifted, rtol=1e-12)
    np.testing.assert_allclose(spectrum.preconditioned_norm(0.1), lengths / shifted, rtol=1e-12)


def test_an_example_without_gradient_has_no_leverage():
    phi, phi_q = problem(5, 8)
    phi[3] = 0
    spectrum = Spectrum(phi, phi_q)
    np.testing.assert_allclose(spectrum.one_minus_leverage(1e-6)[3], 1, rtol=1e-9)
    assert np.abs(spectrum.inner(1e-6)[3]).max() < 1e-9
    assert spectrum.preconditioned_norm(1e-6)[3] < 1e-9


def test_impossible_problems_are_refused():
    with pytest.raises(ValueError, match="training features have 4 dimensions, queries 3"):
        Spectrum(np.ones((2, 4)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="all training features are zero"):
        Spectrum(np.zeros((2, 4)), np.ones((2, 4)))
    spectrum = Spectrum(np.ones((2, 4)), np.ones((2, 4)))
    for damping in (0.0, -1e-3, float("nan")):
        for product in (spectrum.inner, spectrum.one_minus_leverage, spectrum.preconditioned_norm):
            with pytest.raises(ValueError, match="damping must be positive"):
                product(damping)


def test_the_grid_of_the_method():
    grid = damping_grid({"mantissas": [1, 2, 5], "exponents": [-8, 0]})
    assert len(grid) == 27
    assert (grid[0], grid[1], grid[-3], grid[-1]) == (1e-8, 2e-8, 1.0, 5.0)
    assert (np.diff(grid) > 0).all()
    assert grid[10] == 2e-5
    assert damping_grid({"mantissas": [3, 1], "exponents": [0, 1]}).tolist() == [1, 3, 10, 30]
