"""Similarity of an example and a query: dot product or cosine of pixels, embeddings or gradients.

pixel_*           pixels in [-1, 1]. No model. "More influential".
embedding_*       image embeddings of a CLIP model (Radford et al., 2021, arXiv 2103.00020), see
                  ``dasbench.diffusion.clip``. No diffusion model. "More influential".
gradient_dot      phi_i . phi_q with loss gradients: the first-order change of the query's loss.
gradient_cosine   gradient_dot divided by both norms (Charpiat et al., 2019, arXiv 2102.05262).
tracincp          mean over checkpoints of gradient_dot (Pruthi et al., 2020, arXiv 2002.08484,
                  without its learning rates: a schedule that ends at zero would drop the last).
gas               mean over checkpoints of gradient_cosine (Hammoudeh and Lowd, 2022, arXiv
                  2201.10055, in its static form: gradients at stored checkpoints).

References: beside each.
Cost: pixels, nothing; embeddings, a forward pass of the CLIP model; gradient forms, features of
N + Q images at T timesteps, for each checkpoint with tracincp and gas.
Direction: gradient forms signed, helpful is positive.
Does not apply: embedding_* without a CLIP model; tracincp and gas without checkpoints of training;
gradient forms without gradients (a black-box model). Similarity ignores that other examples may
teach the model the same; the kernel methods account for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.attribution import candidates
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import NO_PARAMETERS, Point
from dasbench.core.blocks import memory_blocks

needs = ("features",)


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield once the similarities, averaged over sets of features; there are no parameters."""
    if options["features"] == "pixels":
        images = candidates.pixels(inputs.train_images), inputs.query_images
        train, query = (x.reshape(len(x), -1) for x in images)
    else:
        train, query = inputs.train_features, inputs.query_features
    scores = similarity(train, query, options["measure"])
    for train, query in inputs.others:
        scores += similarity(train, query, options["measure"])
    yield NO_PARAMETERS, scores / (1 + len(inputs.others))


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
    for rows in memory_blocks(len(train), 8 * train.shape[1]):
        scores[rows] = scaled(train[rows].astype(np.float64)) @ query.T
    return scores


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)
