"""Random projections: the same matrix for everybody, inner products kept on average."""

import numpy as np
import pytest
import torch

from dasbench import seeds
from dasbench.gradients import projection
from dasbench.gradients.projection import Projection
from tiny import AXES

RANDOM = pytest.mark.parametrize("kind", ["rademacher", "gaussian"])


def vectors(n, p, seed=0):
    return np.random.default_rng(seed).standard_normal((n, p))


@RANDOM
def test_projecting_is_multiplying_by_the_matrix(kind):
    made = Projection(kind, 9000, 6, AXES)  # three blocks, the last one short
    g = vectors(3, 9000)
    matrix = made.matrix()
    assert matrix.shape == (9000, 6)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(
        made(torch.from_numpy(g)).numpy(), g @ matrix, rtol=1e-10, atol=1e-10
    )
    single = made(torch.from_numpy(g).float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, g @ matrix, rtol=1e-4, atol=1e-3)


def test_none_is_the_identity():
    made = Projection("none", 50, 7, AXES)
    g = torch.from_numpy(vectors(3, 50))
    assert made.dimensions == 50
    assert torch.equal(made(g), g)
    np.testing.assert_array_equal(made.matrix(), np.eye(50))


def test_entries():
    for p, dimensions in ((5000, 16), (37, 5)):  # 37 * 5 bits are no whole bytes
        signs = Projection("rademacher", p, dimensions, AXES).matrix() * dimensions**0.5
        np.testing.assert_allclose(np.abs(signs), 1, rtol=1e-12)
        assert abs(signs.mean()) < 5 / signs.size**0.5
    normal = Projection("gaussian", 5000, 16, AXES).matrix() * 4
    assert abs(normal.mean()) < 5 / normal.size**0.5
    assert abs(normal.var() - 1) < 5 * (2 / normal.size) ** 0.5
    assert len(np.unique(normal)) > 1000


@RANDOM
def test_rows_and_columns_are_uncorrelated(kind):
    """Also across the border of two blocks, and no block is another's copy."""
    matrix = Projection(kind, 8292, 8, AXES).matrix() * 8**0.5
    gram = matrix.T @ matrix / 8292
    assert np.abs(gram - np.eye(8)).max() < 5 * (2 / 8292) ** 0.5
    first, second = matrix[:4096].ravel(), matrix[4096:8192].ravel()
    assert abs(first @ second) / first.size < 5 / first.size**0.5


@RANDOM
def test_blocks_do_not_depend_on_how_many_rows_there_are(kind):
    long = Projection(kind, 9000, 5, AXES).matrix()
    for p in (1, 100, 4096, 4097, 8999):
        np.testing.assert_array_equal(Projection(kind, p, 5, AXES).matrix(), long[:p])


@RANDOM
def test_the_matrix_belongs_to_its_name(kind):
    matrix = Projection(kind, 300, 5, AXES).matrix()
    np.testing.assert_array_equal(matrix, Projection(kind, 300, 5, list(AXES)).matrix())
    others = [
        Projection(kind, 300, 5, (*AXES, 1)).matrix(),
        Projection(kind, 300, 6, AXES).matrix()[:, :5] * (6 / 5) ** 0.5,
    ]
    for other in others:
        assert np.abs(np.corrcoef(matrix.ravel(), other.ravel())[0, 1]) < 0.15
    expected = seeds.generator(*AXES, "projection", "gaussian", 5, 0).standard_normal(
        (300, 5), np.float32
    )
    if kind == "gaussian":
        np.testing.assert_allclose(matrix, expected / 5**0.5, rtol=1e-6)


@RANDOM
def test_inner_products_are_right_on_average_and_better_with_more_dimensions(kind):
    g = vectors(2, 60)
    g[1] += g[0]
    truth = g[0] @ g[1]
    spread = {}
    for dimensions in (4, 64):
        estimates = []
        for seed in range(200):
            a, b = Projection(kind, 60, dimensions, ("statistics", seed))(torch.from_numpy(g))
            estimates.append(float(a @ b))
        spread[dimensions] = np.std(estimates)
        assert abs(np.mean(estimates) - truth) < 5 * spread[dimensions] / 200**0.5
    # the standard deviation falls as 1 / sqrt(P): by 4, up to its own sampling error
    assert 3 < spread[4] / spread[64] < 5.3


def test_gram_matrices_converge():
    g = torch.from_numpy(vectors(6, 3000))
    truth = g @ g.T
    errors = [
        torch.linalg.norm(f @ f.T - truth) / torch.linalg.norm(truth)
        for f in (Projection("rademacher", 3000, p, AXES)(g) for p in (16, 256, 4096))
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.06


def test_kinds_are_checked():
    with pytest.raises(ValueError, match="rademacher, gaussian, none, got 'sparse'"):
        Projection("sparse", 10, 5, AXES)
    assert set(projection.KINDS) == {"rademacher", "gaussian", "none"}
