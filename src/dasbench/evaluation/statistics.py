"""Rank correlation, rank correlation in every resample, and the ceiling of the LDS.

The ceiling is the LDS of a predictor of the true expected outputs. Letters: M subset models, Q
queries, R retraining seeds, B bootstrap draws. Resamples are counts [B, M] from
``dasbench.evaluation.bootstrap``.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from dasbench.core.blocks import memory_blocks
from dasbench.evaluation.bootstrap import Draws

MATRIX = 2  # number of axes of [M, Q]
MEMORY = 200_000_000  # bytes that one bootstrap may hold
BLOCK = 8_000_000  # bytes of one block of resampled ranks, so that passes over it stay in cache
DETERMINED = 1e-6  # unexplained share of a variance of ranks, at or below which there is none
TINY = 1e-12  # keeps Spearman-Brown finite at its pole r = -1 / (R - 1)


def _pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two finite float64 matrices of one shape; raises ValueError for other input."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != MATRIX or x.shape != y.shape:
        raise ValueError(
            f"got shapes {x.shape} and {y.shape}, expected equal shapes [M, Q]; align the arrays"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(
            "a rank of NaN or infinity has no meaning; remove the values that are not finite first"
        )
    return x, y


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation over the first axis, average ranks for ties.

    Args:
        x: [M, Q].
        y: [M, Q].

    Returns:
        [Q] float64 in [-1, 1]; NaN where either column is constant and has no ranking.

    Raises:
        ValueError: If the shapes differ or a value is not finite.

    Source: Spearman (1904); the Pearson correlation of average ranks.
    """
    x, y = _pair(x, y)
    # Centred average ranks are multiples of 1/2, so the sum of squares of a constant column is
    # exactly 0.
    dx, dy = (rankdata(a, axis=0) - (len(a) + 1) / 2 for a in (x, y))
    squares = (dx * dx).sum(0) * (dy * dy).sum(0)  # [Q]
    scale = np.sqrt(np.where(squares > 0, squares, np.nan))
    return np.clip((dx * dy).sum(0) / scale, -1, 1)


class ResampledRanks:
    """Ranks of one matrix in every resample, for correlations with many other matrices.

    In a resample with counts c, twice the centred average rank of row k is ``d_k = sum_j c_j
    sign(y_k - y_j)``: the number of drawn rows below minus the number above. So one matrix product
    gives all ranks of all resamples, exactly in float32 (integers below 2^24). With e_k the ranks
    of the other matrix, Spearman is ``sum_k c_k d_k e_k`` over the norms ``sqrt(sum_k c_k d_k^2)``
    and ``sqrt(sum_k c_k e_k^2)``.

    Args:
        y: [M, Q], finite.
        counts: [B, M], from ``Bootstrap.counts``.
        memory: Bytes for ranks kept for reuse; larger ranks are computed again in each call.

    Raises:
        ValueError: If shapes disagree or a value is not finite.
    """

    def __init__(self, y: np.ndarray, counts: np.ndarray, memory: int = MEMORY) -> None:
        """Rank ``y`` in every resample (see the class)."""
        self.y, _ = _pair(y, y)
        if counts.ndim != MATRIX or counts.shape[1] != len(self.y):
            raise ValueError(
                f"counts have shape {counts.shape}, expected [B, {len(self.y)}]; draw one per row"
            )
        self.counts = counts.astype(np.float32)
        bytes_per_query = 4 * self.counts.size
        # blocks of queries, each small enough for the cache
        self.blocks = memory_blocks(self.y.shape[1], bytes_per_query, BLOCK)
        self.kept = None
        if bytes_per_query * self.y.shape[1] <= memory:
            self.kept = [self._weighted(block) for block in self.blocks]

    def correlate(self, x: np.ndarray) -> np.ndarray:
        """Spearman correlation of ``x`` and ``y`` in every resample.

        Args:
            x: [M, Q], finite.

        Returns:
            [B, Q] float32 in [-1, 1]; NaN where a resampled column is constant.
        """
        return correlations(x, [self])[0]

    def weighted(self, index: int) -> np.ndarray:
        """``_weighted`` of a block, from memory if it is kept."""
        return self._weighted(self.blocks[index]) if self.kept is None else self.kept[index]

    def ranks(self, x: np.ndarray) -> np.ndarray:
        """Twice the centred ranks [B, q, M] of the columns of x [M, q]."""
        # differences of ranks cannot overflow; differences of values might
        ranks = rankdata(x, axis=0).astype(np.float32)
        signs = np.sign(ranks.T[None, :, :] - ranks[:, :, None])  # [j, q, k]
        return (self.counts @ signs.reshape(len(x), -1)).reshape(len(self.counts), *ranks.T.shape)

    def _weighted(self, block: slice) -> np.ndarray:
        """Ranks of y times counts over their norm [B, q, M]; NaN where the drawn y is constant."""
        ranks = self.ranks(self.y[:, block])
        weighted = ranks * self.counts[:, None, :]
        squares = np.einsum("bqk,bqk->bq", ranks, weighted)
        weighted /= np.sqrt(np.where(squares > 0, squares, np.nan))[:, :, None]
        return weighted


def correlations(x: np.ndarray, others: Sequence[ResampledRanks]) -> list[np.ndarray]:
    """Spearman correlations of one matrix with several others in every resample, ranked once.

    Args:
        x: [M, Q], finite.
        others: Ranks of matrices [M, Q] in the same resamples.

    Returns:
        For each of the others, [B, Q] float32 in [-1, 1]; NaN where a resampled column is constant.
    """
    first = others[0]
    x, _ = _pair(x, first.y)
    found = [np.empty((len(first.counts), x.shape[1]), dtype=np.float32) for _ in others]
    for index, block in enumerate(first.blocks):
        ranks = first.ranks(x[:, block])
        products = [np.einsum("bqk,bqk->bq", ranks, other.weighted(index)) for other in others]
        np.square(ranks, out=ranks)
        squares = (ranks @ first.counts[:, :, None])[:, :, 0]  # [B, q]
        norms = np.sqrt(np.where(squares > 0, squares, np.nan))
        for out, product in zip(found, products, strict=True):
            out[:, block] = product / norms
    return [np.clip(out, -1, 1, out=out) for out in found]


def partial(
    method_outcome: np.ndarray, method_given: np.ndarray, given_outcome: np.ndarray
) -> np.ndarray:
    """Partial rank correlation of a method's predictions m and the outcome o, given those of f.

    ``(r_mo - r_mf r_fo) / sqrt((1 - r_mf^2) (1 - r_fo^2))``: the correlation of the ranks of m and
    o after the ranks of f have been regressed out of both.

    Args:
        method_outcome: r_mo, rank correlations of any shape.
        method_given: r_mf, of the same shape.
        given_outcome: r_fo, of the same shape.

    Returns:
        float64 in [-1, 1]; NaN where a correlation is NaN, or a factor under the root is at most
        ``DETERMINED``: m or o is then a monotone function of f.

    Source: Yule (1907); Kendall (1942) for ranks.
    """
    r_mo, r_mf, r_fo = (
        np.asarray(r, np.float64) for r in (method_outcome, method_given, given_outcome)
    )
    left, right = 1 - r_mf**2, 1 - r_fo**2
    known = (left > DETERMINED) & (right > DETERMINED)
    root = np.sqrt(np.where(known, left * right, np.nan))
    return np.clip((r_mo - r_mf * r_fo) / root, -1, 1)


def bootstrap_spearman(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman correlation in every resample of the rows, with ranks within the resample.

    Args:
        x: [M, Q].
        y: [M, Q].
        counts: [B, M], from ``Bootstrap.counts``.

    Returns:
        [B, Q] float32; NaN where a resampled column is constant.

    Raises:
        ValueError: If shapes disagree or a value is not finite.
    """
    return ResampledRanks(y, counts, memory=0).correlate(x)


class Reliability(NamedTuple):
    """Agreement r of two seeds, reliability rho of the mean of R seeds, ceiling; with intervals."""

    r: float
    rho: float
    rho_lo: float
    rho_hi: float
    ceiling: float
    lo: float
    hi: float


def spearman_brown(r: float | np.ndarray, seeds: int) -> np.ndarray:
    """Reliability of a mean of R parallel measurements: ``rho = R r / (1 + (R - 1) r)``.

    A mean of correlations of R variables is never below the pole r = -1 / (R - 1), but rounding may
    move it there. The denominator is therefore at least a tiny positive number: otherwise total
    disagreement could become a large positive rho.

    Source: Spearman (1910), Brown (1910).
    """
    r = np.asarray(r, dtype=np.float64)
    return seeds * r / np.maximum(1 + (seeds - 1) * r, TINY)


def ceiling(rho: float | np.ndarray) -> np.ndarray:
    """``sqrt(max(rho, 0))``: correlation of the true expected outputs with a mean of noisy ones."""
    return np.sqrt(np.maximum(rho, 0))


def seed_agreement(outputs: np.ndarray) -> float:
    """Mean Spearman correlation over subsets, for all queries and pairs of seeds.

    An undefined correlation enters as 0.

    Args:
        outputs: [R, M, Q].

    Returns:
        r, or NaN with a single seed.
    """
    pairs = [np.nan_to_num(spearman(a, b)).mean() for a, b in combinations(outputs, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def reliability(outputs: np.ndarray, draws: Draws) -> Reliability:
    """Agreement of seeds, the reliability of their mean and the ceiling, with intervals.

    The interval of the ceiling is ``ceiling`` of the interval of rho. Its lower end is 0 exactly
    where the lower end of rho is not positive; do not report a fraction of the ceiling there.

    Args:
        outputs: [R, M, Q], R retrained models per subset.
        draws: Resamples of the M subsets and the Q queries.

    Returns:
        Seven numbers; all NaN with a single seed, which has no agreement.

    Source: correction for attenuation (Spearman 1904).
    """
    seeds = len(outputs)
    r = seed_agreement(outputs)
    if np.isnan(r):
        return Reliability(*[float("nan")] * 7)
    pairs = list(combinations(outputs, 2))
    drawn = sum(draws.mean(bootstrap_spearman(a, b, draws.subsets)) for a, b in pairs) / len(pairs)
    rho = spearman_brown(r, seeds)
    rho_lo, rho_hi = draws.bootstrap.interval(rho, spearman_brown(drawn, seeds))
    values = (r, rho, rho_lo, rho_hi, ceiling(rho), ceiling(rho_lo), ceiling(rho_hi))
    return Reliability(*(float(v) for v in values))
