"""Operations and bytes of scores with a kernel, by counting.

``dasbench.planning.unet_cost`` counts those of networks.

Letters: n training examples, q queries, P features, T kernels by timestep, M subset models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

TRANSFORMS = 3
# of ``nda``: largest side of an image; operations that take as long as one exponential
SIDE, EXPONENTIAL = 16, 300


def decomposition(n: int, wide: int) -> float:
    """Operations of one kernel, its eigenvectors, and the eigenvalues as squared lengths."""
    small = min(n, wide)
    return 3.0 * n * wide * small + 10.0 * small**3


def scores(n: int, q: int, wide: int, paths: int, models: int, apart: int = 0) -> float:
    """Operations of a method's scores for ``paths`` dampings, and of their sums over M subsets.

    Features and queries are rotated, then each damping is a product, whose sums are all that is
    kept. The job decomposes T kernels (``apart``) itself; another job decomposes a single one.
    """
    small = min(n, wide)
    one = 2.0 * (n + q) * wide * small + 2.0 * paths * n * small * q
    one += sums(n, q, paths, models)
    return max(apart, 1) * one + apart * decomposition(n, wide)


def floor(n: int, q: int, wide: int, grid: Mapping[str, list], whole: bool = True) -> float:
    """Operations of a floor's similarities; those of ridge decompose a kernel for each width.

    Args:
        n: Training examples.
        q: Queries.
        wide: Numbers of one image.
        grid: Parameter -> values.
        whole: Whether the whole grid is computed, or a single point.
    """
    centres, widths, penalties = (
        len(grid.get(name, "1")) if whole else 1 for name in ("centre", "width", "penalty")
    )
    products = 2.0 * n * q * wide * centres
    if "penalty" not in grid:
        return products
    kernel = 2.0 * n * n * wide + 10.0 * n**3
    return products + widths * (kernel + 2.0 * n * n * q * (1 + penalties))


def patches(n: int, q: int, shape: tuple[int, int, int], sides: Sequence[int]) -> float:
    """Operations of one point of ``nda``, with the mean size of a patch.

    Args:
        n: Training examples.
        q: Queries.
        shape: (C, H, W) of the images, which are reduced to ``SIDE`` pixels a side.
        sides: Pixels along the side of a patch.
    """
    channels, *pixels = shape
    places = math.prod(side // -(-max(pixels) // SIDE) for side in pixels)
    numbers = channels * sum(side**2 for side in sides) / len(sides)
    return n * q * places**2 * (2.0 * numbers + EXPONENTIAL)


def sums(n: int, q: int, paths: int, models: int) -> float:
    """Operations of all transforms' sums over M subsets."""
    return 2.0 * paths * TRANSFORMS * models * n * q


def score_bytes(n: int, q: int, wide: int, gradients: int = 0) -> int:
    """Bytes of a job that scores q queries of one kind.

    A job with features by timestep decomposes its kernels itself. It holds one at a time, and adds
    up the scores of both kinds of query in float64; the number of timesteps does not matter.

    Args:
        n: Training examples.
        q: Queries.
        wide: P.
        gradients: In one kernel that the job decomposes; 0 where another job has decomposed it.
    """
    small = min(gradients or n, wide)
    added = 40 * small**2 + 16 * n * q if gradients else 0
    return 12 * n * wide + 8 * small**2 + 24 * n * q + added
