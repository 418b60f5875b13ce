"""One decomposition per feature set: in memory or from files, whatever the block size."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from dasbench.attribution import decomposition
from dasbench.attribution.spectrum import Spectrum
from dasbench.core import artifacts, blocks, memmaps
from dasbench.errors import UserError

SHAPES = pytest.mark.parametrize(("n", "p"), [(5, 9), (9, 5), (6, 6), (1, 4), (8, 1)])
DAMPINGS = [1e-6, 1e-3, 1.0]


def features(n, p, seed=0):
    return np.random.default_rng([n, p, seed]).standard_normal((n, p))


@SHAPES
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # the second is a device of torch
def test_it_is_that_of_the_oracles_kernel(n, p, device):
    phi = features(n, p)
    made = decomposition.decompose(phi, device=device)
    small = oracle.kernel(phi, 0.0) if n > p else np.array([[a @ b for b in phi] for a in phi])
    rebuilt = (made.eigenvectors * made.eigenvalues) @ made.eigenvectors.T
    np.testing.assert_allclose(rebuilt, small, atol=1e-12 * np.abs(small).max())
    identity = made.eigenvectors.T @ made.eigenvectors
    np.testing.assert_allclose(identity, np.eye(min(n, p)), atol=1e-12)
    assert made.eigenvalues.dtype == made.eigenvectors.dtype == np.float64
    assert decomposition.is_dual((n, p)) == (n <= p)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    p=st.integers(1, 12),
    rows=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_blocks_change_rounding_alone(n, p, rows, seed):
    """Eigenvalues to 1e-13 of the largest; eigenvectors may turn where eigenvalues are close."""
    phi = features(n, p, seed)
    whole, parts = decomposition.decompose(phi), decomposition.decompose(phi, 8 * min(n, p) * rows)
    scale = whole.eigenvalues.max()
    np.testing.assert_allclose(parts.eigenvalues, whole.eigenvalues, atol=1e-13 * scale)
    one, two = (Spectrum(phi, phi[:2], made) for made in (whole, parts))
    for damping in DAMPINGS:
        a, b = one.inner(damping), two.inner(damping)
        assert np.abs(a - b).max() <= 1e-14 / damping * max(np.abs(a).max(), 1e-3)
        a, b = one.one_minus_leverage(damping), two.one_minus_leverage(damping)
        np.testing.assert_allclose(a, b, rtol=1e-13 / damping)


def test_blocks_are_walked_in_order_and_cover_the_longer_side():
    for phi in (features(7, 3), features(3, 7)):
        parts = list(decomposition.long_blocks(phi, 8 * 3 * 2))
        assert [len(part) for part in parts] == [2, 2, 2, 1]
        tall = phi if len(phi) == 7 else phi.T
        np.testing.assert_array_equal(np.concatenate(parts), tall)


def test_sums_are_float64_where_features_are_float32():
    """Squares of float32 in float32 would lose the small eigenvalue altogether."""
    phi = np.array([[1.0, 0.0], [1.0, 2.0**-13]], np.float32)
    a, b = (Fraction(float(v)) for v in (2, phi[1, 1]))
    exact = float(b**2 / 2)  # product of the eigenvalues b^2, their sum a + b^2
    assert float(a) == 2
    assert decomposition.decompose(phi).eigenvalues.min() == pytest.approx(exact, rel=1e-7)
    single = np.linalg.eigvalsh(phi @ phi.T)
    assert abs(single.min() / exact - 1) > 0.1  # the problem is one where precision matters


@SHAPES
def test_files_hold_what_memory_holds(n, p, tmp_path):
    phi, phi_q = features(n, p).astype("f4"), features(3, p).astype("f4")
    artifacts.save_array(tmp_path / "train.npy", phi)
    train = memmaps.load(tmp_path / "train.npy", (None, None), np.float32)
    decomposition.save(tmp_path / "spectrum", decomposition.decompose(train))
    found = decomposition.load(tmp_path / "spectrum", train.shape)
    here, there = Spectrum(phi, phi_q), Spectrum(train, phi_q, found)
    assert here.scale == there.scale
    for damping in DAMPINGS:
        for product in ("inner", "one_minus_leverage", "preconditioned_norm"):
            a, b = (getattr(s, product)(damping) for s in (here, there))
            np.testing.assert_array_equal(a, b)


def test_a_decomposition_of_other_features_is_refused(tmp_path):
    decomposition.save(tmp_path, decomposition.decompose(features(4, 6)))
    with pytest.raises(UserError, match=r"eigenvectors\.npy has shape \(4, 4\), expected \(5, 5\)"):
        decomposition.load(tmp_path, (5, 6))
    artifacts.save_array(tmp_path / "eigenvalues.npy", np.array([-1.0, 1.0, 2.0, 3.0]))
    with pytest.raises(UserError, match="none negative"):
        decomposition.load(tmp_path, (4, 6))
    (tmp_path / "eigenvalues.npy").unlink()
    with pytest.raises(UserError, match=r"eigenvalues\.npy is missing"):
        decomposition.load(tmp_path, (4, 6))


def test_features_that_are_all_zero_are_refused():
    with pytest.raises(ValueError, match="all training features are zero"):
        decomposition.decompose(np.zeros((2, 4)))


@SHAPES
def test_other_queries_need_no_other_decomposition(n, p, monkeypatch):
    phi, phi_q = features(n, p), features(7, p, seed=1)
    whole = Spectrum(phi, phi_q)
    monkeypatch.setattr("dasbench.attribution.spectrum.decompose", None)  # calling it would fail
    for some in (slice(0, 1), slice(2, 6), [5, 1]):
        part = whole.of(phi_q[some])
        for damping in DAMPINGS:
            expected = whole.inner(damping)[:, some]
            tolerance = 1e-13 / damping * np.abs(expected).max()
            np.testing.assert_allclose(part.inner(damping), expected, atol=tolerance)
    with pytest.raises(ValueError, match="dimensions, queries"):
        whole.of(np.ones((2, p + 1)))


@SHAPES
def test_a_whole_grid_is_its_dampings_one_by_one(n, p):
    spectrum = Spectrum(features(n, p))
    for product in (spectrum.one_minus_leverage, spectrum.preconditioned_norm):
        grid = product(DAMPINGS)
        assert grid.shape == (3, n)
        np.testing.assert_allclose(grid, [product(d) for d in DAMPINGS], rtol=1e-9)
        with pytest.raises(ValueError, match="damping must be positive"):
            product([0.1, 0.0])


def test_blocks_of_examples_do_not_change_leverages(monkeypatch):
    phi = features(30, 4)
    whole = Spectrum(phi, phi[:3])
    monkeypatch.setattr(blocks.memory_blocks, "__defaults__", (8 * 4 * 7,))
    parts = Spectrum(phi, phi[:3])
    np.testing.assert_allclose(parts.inner(0.01), whole.inner(0.01), rtol=1e-9)
    a, b = (s.one_minus_leverage(DAMPINGS) for s in (parts, whole))
    np.testing.assert_allclose(a, b, rtol=1e-9)
