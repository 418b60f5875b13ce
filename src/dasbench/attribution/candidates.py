"""Candidate sets: a query looks only at the training images that resemble it.

Features are computed of images that are a candidate of some query; the others have zero features.
A query's score of an image that is not its own candidate is 0: it counts as such in the LDS, and
comes last in removal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.core import artifacts
from dasbench.core.query_kinds import KINDS


def chosen(images: np.ndarray, queries: Path, count: int | None) -> np.ndarray:
    """Which training images get features: those that are a candidate of some query.

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
    return nearest(pixels(images), np.concatenate(asked), count).any(axis=1)


def of_method(
    options: Mapping[str, Any], images: np.ndarray, queries: np.ndarray
) -> np.ndarray | None:
    """The candidates of each query, [N, Q] bool, or None if a method looks at every image.

    Args:
        options: Of the method.
        images: [N, H, W, C] uint8, the training images.
        queries: [Q, C, H, W] float32 in [-1, 1].
    """
    features = options.get("features")
    count = features["candidates"] if isinstance(features, Mapping) else None
    return None if count is None else nearest(pixels(images), queries, count)


def nearest(train: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` pixel-nearest training images of every query.

    Args:
        train: [N, C, H, W].
        queries: [Q, C, H, W].
        count: Candidates of one query; N or more is everything.

    Returns:
        [N, Q] bool. Ties go to the smaller position.
    """
    found = np.zeros((len(train), len(queries)), bool)
    flat = train.reshape(len(train), -1).astype(np.float64)
    lengths = np.square(flat).sum(1)
    for q, query in enumerate(queries.reshape(len(queries), -1).astype(np.float64)):
        found[np.argsort(lengths - 2 * flat @ query, kind="stable")[:count], q] = True
    return found


def pixels(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] uint8 to [N, C, H, W] float64 in [-1, 1], as queries are kept."""
    return images.transpose(0, 3, 1, 2).astype(np.float64) / 127.5 - 1
