"""Random subsets of the training set, of one fixed size."""

from __future__ import annotations

import numpy as np


def draw_mask(
    labels: np.ndarray, fraction: float, stratify: bool, rng: np.random.Generator
) -> np.ndarray:
    """Draw a subset of fixed size, uniformly, or uniformly within each class.

    Args:
        labels: [N] int64; used only with ``stratify``.
        fraction: alpha in (0, 1); the subset has round(alpha * N) members.
        stratify: Keep the share of each class, as the published masks do. Class sizes are rounded
            by largest remainder so that they add up to round(alpha * N); of equal remainders, the
            smaller label is rounded up first.
        rng: From ``seeds.generator``.

    Returns:
        [N] bool, True where the example is in the subset.

    Raises:
        ValueError: If the subset would be empty or the whole set.

    Source: fixed-size subsets as in Park et al. (2023), TRAK, section 2.
    """
    n = len(labels)
    size = round(fraction * n)
    if not 0 < size < n:
        raise ValueError(
            f"subsets.fraction {fraction} of {n} examples is {size}; choose one with 1 to {n - 1}"
        )
    mask = np.zeros(n, dtype=bool)
    if not stratify:
        mask[rng.choice(n, size, replace=False)] = True
        return mask
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (size / n)
    sizes = np.floor(exact).astype(int)
    largest = np.argsort(-(exact - sizes), kind="stable")[: size - sizes.sum()]
    sizes[largest] += 1
    for label, take in zip(classes, sizes, strict=True):
        mask[rng.choice(np.flatnonzero(labels == label), take, replace=False)] = True
    return mask
