"""The matrices of the two-sided projection, and how the budget is spread over layers and sides."""

import itertools

import numpy as np
import pytest

from dasbench.gradients.kronecker import budget, rows, separable, sides
from explicit import disturbance


def test_rows_are_orthogonal():
    for k, d in ((1, 1), (1, 9), (4, 9), (8, 9), (9, 9)):
        made = rows(("tests", 0), k, d)
        np.testing.assert_allclose(made @ made.T, d / k * np.eye(k), atol=1e-12 * d)
    assert np.array_equal(rows(("tests", 0), 9, 9), np.eye(9))
    assert not np.allclose(rows(("tests", 0), 4, 9), rows(("tests", 1), 4, 9))


SEEDS = 600


@pytest.mark.parametrize(("k", "d"), [(1, 5), (3, 8), (7, 8)])
def test_rows_keep_squared_lengths_on_average(k, d):
    grams = np.stack([(a := rows(("tests", s), k, d)).T @ a for s in range(SEEDS)])
    variance = 2 * (d - k) / (k * (d + 2))  # of a unit vector's; off the diagonal not more
    assert np.abs(grams.mean(0) - np.eye(d)).max() < 6 * (variance / SEEDS) ** 0.5
    along = np.stack([np.diag(gram) for gram in grams]).var()
    # the variance's own error: kurtosis of a scaled beta variable is below 12 here
    assert abs(along / variance - 1) < 6 * (12 / SEEDS) ** 0.5


@pytest.mark.parametrize(("k", "channels", "area"), [(1, 4, 9), (3, 4, 9), (4, 4, 6), (2, 2, 25)])
def test_separable_rows_keep_squared_lengths_on_average(k, channels, area):
    total, d = 0, channels * area + 1
    for seed in range(SEEDS):
        mixes, kernels, constants = separable(("tests", seed), k, channels, area)
        np.testing.assert_allclose(mixes @ mixes.T, channels / k * np.eye(k), atol=1e-12 * d)
        a = np.concatenate([np.einsum("kc,ko->kco", mixes, kernels).reshape(k, -1).T, [constants]])
        total = total + a @ a.T
    # entries are means of k products of two numbers with fourth moments 3 at most
    assert np.abs(total / SEEDS - np.eye(d)).max() < 6 * (3 / k / SEEDS) ** 0.5
    np.testing.assert_allclose(np.diag(total)[-1] / SEEDS, 1, rtol=1e-12)


def test_budget_is_shared_by_square_roots():
    np.testing.assert_allclose(budget([100, 400, 900], 60), [10, 20, 30])
    # the small one is full at 4; the others share what it leaves, two to three
    np.testing.assert_allclose(budget([4, 40_000, 90_000], 1004), [4, 400, 600])
    np.testing.assert_allclose(budget([7, 5], 12), [7, 5])
    np.testing.assert_allclose(budget([7, 5], 1000), [7, 5])


def test_budget_spends_everything_and_caps():
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes = np.ceil(np.exp(rng.uniform(0, 14, rng.integers(1, 40)))).astype(int)
        dimensions = int(np.exp(rng.uniform(0, 15)))
        shares = np.array(budget(sizes.tolist(), dimensions))
        np.testing.assert_allclose(shares.sum(), min(dimensions, sizes.sum()), rtol=1e-9)
        assert (shares <= sizes * (1 + 1e-12)).all()
        free = shares < sizes * (1 - 1e-9)
        if free.any():
            rate = shares / np.sqrt(sizes)
            np.testing.assert_allclose(rate[free], rate[free].max(), rtol=1e-9)
            assert (rate[~free] <= rate[free].max() * (1 + 1e-9)).all()


@pytest.mark.parametrize("limit", [None, 5, 16])
def test_sides_are_as_good_as_any(limit):
    sizes = (1, 2, 9, 30)
    for d_in, d_out, share in itertools.product(sizes, sizes, (1, 2, 5, 18, 40, 269, 270, 900)):
        k_in, k_out = sides(share, d_in, d_out, limit)
        assert 1 <= k_in <= d_in
        assert 1 <= k_out <= d_out
        assert k_in * k_out <= share
        if share >= d_in * d_out:
            assert (k_in, k_out) == (d_in, d_out)
            continue
        most = d_in if limit is None or share > limit * d_out else min(d_in, limit)
        assert k_in <= most
        allowed = [
            disturbance(a, d_in, b, d_out)
            for a in range(1, most + 1)
            for b in range(1, d_out + 1)
            if a * b <= share
        ]
        ours = disturbance(k_in, d_in, k_out, d_out)
        assert ours < min(allowed) * (1.1 if k_out == d_out else 1 + 1e-12)
