"""Operations and bytes of scores with a kernel, by counting.

``dasbench.planning.unet_cost`` counts those of networks.

Letters: n training examples, q queries, P features, T kernels by timestep, M subset models.
"""

from __future__ import annotations

TRANSFORMS = 3


def decomposition(n: int, wide: int) -> float:
    """Operations of one kernel, its eigenvectors, and the eigenvalues as squared lengths."""
    small = min(n, wide)
    return 3.0 * n * wide * small + 10.0 * small**3


def scores(n: int, q: int, wide: int, paths: int, models: int, apart: int = 0) -> float:
    """Operations of a method's scores for ``paths`` dampings, and of their sums over M subsets.

    Features and queries are rotated, then each damping is a product. The job decomposes T kernels
    (``apart``) itself; another job decomposes a single one.
    """
    small = min(n, wide)
    one = 2.0 * (n + q) * wide * small + 2.0 * paths * n * small * q
    return max(apart, 1) * one + apart * decomposition(n, wide) + sums(n, q, paths, models)


def sums(n: int, q: int, paths: int, models: int) -> float:
    """Operations of all transforms' sums over M subsets."""
    return 2.0 * paths * TRANSFORMS * models * n * q


def score_bytes(n: int, q: int, wide: int, apart: int = 0) -> int:
    """Bytes of a job that scores q queries of one kind; it holds all T kernels (``apart``)."""
    small = min(n, wide)
    vectors = 8 * small * (n + wide * (wide < n))  # rotated examples, and eigenvectors
    held = 4 * (n + q) * wide + vectors + 8 * q * small
    return 12 * n * wide + 8 * small**2 + 24 * n * q + apart * held
