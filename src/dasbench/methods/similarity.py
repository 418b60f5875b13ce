"""Similarity of an example and a query: dot product or cosine of pixels or of loss gradients.

pixel_cosine      cosine of pixels in [-1, 1]. No model. "More influential".
gradient_dot      phi_i . phi_q with loss gradients: the first-order change of the query's loss.
gradient_cosine   the same over both norms (Charpiat et al., 2019).

Cost: one set of features for the gradient forms. They do not account for what other examples
already teach the model; the kernel methods do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench import mapped
from dasbench.methods.interface import Inputs


def path(
    inputs: Inputs, options: Mapping[str, Any], damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield the similarities once; there is no damping."""
    if options["features"] == "pixels":
        train = inputs.train_images.transpose(0, 3, 1, 2).astype(np.float64) / 127.5 - 1
        train, query = (
            train.reshape(len(train), -1),
            inputs.query_images.reshape(inputs.shape[1], -1),
        )
    else:
        train, query = inputs.train_features, inputs.query_features
    yield None, similarity(train, query, options["measure"])


def similarity(train: np.ndarray, query: np.ndarray, measure: str) -> np.ndarray:
    """Dot products or cosines, [N, Q].

    Args:
        train: [N, P].
        query: [Q, P].
        measure: "dot" or "cosine"; a zero vector has cosine 0 with everything.

    Raises:
        ValueError: If the measure is unknown.
    """
    if measure not in ("dot", "cosine"):
        raise ValueError(f"measure must be dot or cosine, got {measure!r}")
    scaled = _unit if measure == "cosine" else np.asarray
    query, scores = scaled(query.astype(np.float64)), np.empty((len(train), len(query)))
    for rows in mapped.blocks(len(train), 8 * train.shape[1]):
        scores[rows] = scaled(train[rows].astype(np.float64)) @ query.T
    return scores


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)
