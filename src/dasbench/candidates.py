"""Candidate sets: look only at training images that resemble a query.

Attribution then costs features of the candidates alone. The others get zero features, hence score
zero: they count as such in the LDS and come last wherever scores are not negative.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dasbench import artifacts, diffusion
from dasbench.layout import KINDS


def chosen(images: np.ndarray, queries: Path, count: int | None) -> np.ndarray:
    """Which training images get features.

    Args:
        images: [N, H, W, C] uint8, the training images.
        queries: Folder of the queries.
        count: Candidates of one query; None is everything.

    Returns:
        [N] bool.
    """
    if count is None:
        return np.ones(len(images), bool)
    asked = [artifacts.load_array(queries / f"{kind}.npy") for kind in KINDS]
    return nearest(diffusion.to_model(images), np.concatenate(asked), count)


def nearest(train: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Which training images are among the ``count`` pixel-nearest of some query.

    Args:
        train: [N, C, H, W].
        queries: [Q, C, H, W].
        count: Candidates of one query; N or more is everything.

    Returns:
        [N] bool. Ties go to the smaller position.
    """
    chosen = np.zeros(len(train), bool)
    flat = train.reshape(len(train), -1).astype(np.float64)
    lengths = np.square(flat).sum(1)
    for query in queries.reshape(len(queries), -1).astype(np.float64):
        chosen[np.argsort(lengths - 2 * flat @ query, kind="stable")[:count]] = True
    return chosen
