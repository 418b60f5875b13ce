"""Bootstrap: resamples of items, and the interval of an estimate from them.

Letters: B draws, M subset models, Q queries. A *resample* draws items with replacement. It is
stored as counts (how often each item was drawn), never as copied rows.

``Bootstrap.interval`` computes every interval of the benchmark, and ``Bootstrap.counts`` draws
every resample: change the definition of intervals there. ``Bootstrap.shared`` returns the draws on
which all methods are judged, so that differences between methods are paired.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.stats import norm

from dasbench import seeds

POWER = 0.8  # power of the test in the definition of ``detectable``
Name = TypeVar("Name", bound=Hashable)


class Difference(NamedTuple):
    """A paired difference, its interval, and the smallest detectable true difference."""

    difference: float
    lo: float
    hi: float
    detectable: float


@dataclass(frozen=True)
class Draws:
    """B resamples of the evaluation subsets and, independently, B of the evaluation queries.

    Attributes:
        bootstrap: The bootstrap that drew them.
        subsets: [B, M] counts.
        queries: [B, Q] counts.
    """

    bootstrap: Bootstrap
    subsets: np.ndarray
    queries: np.ndarray

    def mean(self, per_query: np.ndarray) -> np.ndarray:
        """Mean over the drawn queries of [B, Q] -> [B]; NaN enters as 0."""
        return (np.nan_to_num(per_query) * self.queries).sum(1) / self.queries.sum(1)


@dataclass(frozen=True)
class Bootstrap:
    """Percentile bootstrap.

    Attributes:
        draws: B.
        level: Coverage of the intervals, such as 0.95.
    """

    draws: int
    level: float = 0.95

    def counts(self, rng: np.random.Generator, items: int, size: int | None = None) -> np.ndarray:
        """Resample items with replacement, B times.

        Args:
            rng: Generator keyed by the caller.
            items: Number of items.
            size: Items in a resample; None: ``items``.

        Returns:
            [B, items] int64, how often each item was drawn; every row sums to ``size``.
        """
        size = items if size is None else size
        return rng.multinomial(size, np.full(items, 1 / items), size=self.draws)

    def resample(
        self, rng: np.random.Generator, items: Mapping[Name, int]
    ) -> dict[Name, np.ndarray]:
        """Resample several kinds of items independently.

        Args:
            rng: Generator keyed by the caller.
            items: Name -> number of items, drawn in this order from one generator. A kind with a
                single item uses no randomness, so it does not change the counts after it.

        Returns:
            Name -> [B, items] counts.
        """
        return {name: self.counts(rng, number) for name, number in items.items()}

    def draw(self, rng: np.random.Generator, models: int, queries: int) -> Draws:
        """Resample M subset models and Q queries, the subsets first.

        Equal generators therefore give equal subsets for any number of queries.
        """
        return Draws(self, **self.resample(rng, {"subsets": models, "queries": queries}))

    def shared(self, axes: Sequence[str | int], kind: str, models: int, queries: int) -> Draws:
        """Draw the resamples that all methods, transforms and targets of an experiment share.

        Args:
            axes: Leading seed axes of the experiment.
            kind: Kind of query.
            models: M evaluation subsets.
            queries: Q evaluation queries of that kind.
        """
        return self.draw(generator(axes, kind), models, queries)

    def interval(
        self, estimate: float | np.ndarray, resampled: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of an estimate: the percentiles of its resampled values.

        Args:
            estimate: The estimate on the data itself, a number or an array. Percentiles use only
                its shape; other intervals (basic, BCa) would use its value.
            resampled: [B, ...], the same estimate on each resample.

        Returns:
            Lower and upper end, each of the shape of the estimate.

        Raises:
            ValueError: If there are not B resampled values of the shape of the estimate.

        Source: Efron (1979); Efron and Tibshirani (1993), chapter 13.
        """
        resampled = np.asarray(resampled, dtype=np.float64)
        expected = (self.draws, *np.shape(estimate))
        if resampled.shape != expected:
            raise ValueError(
                f"resampled values have shape {resampled.shape}, expected {expected}; "
                "estimate once on every draw"
            )
        tail = 50 * (1 - self.level)
        lo, hi = np.percentile(resampled, [tail, 100 - tail], axis=0)
        return lo, hi

    def difference(
        self, estimates: tuple[float, float], a: np.ndarray, b: np.ndarray
    ) -> Difference:
        """Compare two estimates whose resampled values come from the same draws.

        ``detectable = (z_{(1 + level) / 2} + z_{POWER}) se``, with se the standard deviation of
        the paired draws. It is the smallest true difference that a two-sided test at significance
        1 - level detects with probability ``POWER``.

        Args:
            estimates: The two estimates on the data itself.
            a: [B] resampled values of the first.
            b: [B] resampled values of the second, on the same resamples in the same order.

        Returns:
            First minus second and its interval, in the unit of the estimates.

        Raises:
            ValueError: If the numbers of draws differ.
        """
        if a.shape != b.shape:
            raise ValueError(f"{a.shape} and {b.shape} draws do not pair; use one set for both")
        difference, paired = estimates[0] - estimates[1], a.astype(np.float64) - b
        lo, hi = self.interval(difference, paired)
        factor = norm.ppf((1 + self.level) / 2) + norm.ppf(POWER)
        return Difference(difference, float(lo), float(hi), float(factor * paired.std(ddof=1)))


def generator(axes: Sequence[str | int], use: str) -> np.random.Generator:
    """Generator of an experiment's draws for one use: a kind of query, or ``removal``."""
    return seeds.generator(*axes, "bootstrap", use)
