"""Candidate sets: only the training images that resemble a query get a score for that query.

Features are computed for images that are a candidate of at least one query; all other images have
zero features. If an image is not a candidate of a query, its score for that query is 0. The LDS
counts this 0 like any score, and removal ranks the image last.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.core import artifacts
from dasbench.core.query_kinds import present


def chosen(images: np.ndarray, queries: Path, count: int | None) -> np.ndarray:
    """Training images that get features: the candidates of at least one query.

    Args:
        images: [N, H, W, C] uint8, the training images.
        queries: Folder of the queries.
        count: Candidates of one query; None: every training image.

    Returns:
        [N] bool.
    """
    if count is None:
        return np.ones(len(images), bool)
    query_images = [artifacts.load_array(queries / f"{kind}.npy") for kind in present(queries)]
    return nearest(pixels(images), np.concatenate(query_images), count).any(axis=1)


def of_method(
    options: Mapping[str, Any], images: np.ndarray, queries: np.ndarray
) -> np.ndarray | None:
    """The candidates of each query, [N, Q] bool, or None if the method scores every image.

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
        count: Candidates of one query; N or more: every training image.

    Returns:
        [N, Q] bool. Ties go to the smaller position.
    """
    near = np.zeros((len(train), len(queries)), bool)
    flat = train.reshape(len(train), -1).astype(np.float64)
    lengths = np.square(flat).sum(1)
    for q, query in enumerate(queries.reshape(len(queries), -1).astype(np.float64)):
        near[np.argsort(lengths - 2 * flat @ query, kind="stable")[:count], q] = True
    return near


def pixels(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] uint8 to [N, C, H, W] float64 in [-1, 1], the format of query images."""
    return images.transpose(0, 3, 1, 2).astype(np.float64) / 127.5 - 1
