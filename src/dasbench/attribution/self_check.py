"""A check that needs no retraining: a training image must come out on top of its own query.

If it does not, the features are too few or the damping is too large for this model, and the ranks
of other images are off as well: mostly noise, if most of the checked images fail.

Shapes: N training images, Q queries, C checked images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dasbench.attribution import transforms
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point

CHECKED = 16


def choose(count: int, most: int = CHECKED) -> np.ndarray:
    """Positions [C] of at most ``most`` of ``count`` training images, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))


def ranks(
    options: Mapping[str, Any],
    inputs: Inputs,
    point: Point,
    transform: str,
    rows: Sequence[int],
) -> np.ndarray:
    """Rank of each checked training image in the answer about itself, [C] int64; 1 is right.

    Args:
        options: Options of a method for which ``feature_sets.compares_images`` holds.
        inputs: For the queries of one kind, which are left out.
        point: The selected parameters.
        transform: The transform of the scores.
        rows: [C] positions of training images, from ``choose``.
    """
    request = interface.Request(_about_training(inputs, rows), [point])
    scores = np.zeros((inputs.shape[0], len(rows)))
    for block in interface.blocks(options, {"train": request}):
        ((_, raw),) = block.path
        scores[:, block.columns] += transforms.apply(raw, transform)
    same = itself(inputs.train_images, inputs.train_images[rows])
    return np.array([rank(scores[:, c], same[c]) for c in range(len(rows))])


def itself(images: np.ndarray, queries: np.ndarray) -> dict[int, np.ndarray]:
    """Query -> the training images with the same pixels; queries without one are left out.

    Args:
        images: [N, H, W, C] uint8.
        queries: [Q, H, W, C] uint8.
    """
    places: dict[bytes, list[int]] = {}
    asked = {query.tobytes() for query in queries}
    for i, image in enumerate(images):
        if (key := image.tobytes()) in asked:
            places.setdefault(key, []).append(i)
    rows = {q: places.get(query.tobytes()) for q, query in enumerate(queries)}
    return {q: np.asarray(found) for q, found in rows.items() if found}


def rank(scores: np.ndarray, rows: np.ndarray) -> int:
    """Rank of the best of some training images, 1 for the top; [N] scores of one query.

    Identical training images share their rank. A score that is no number is above all others.
    """
    return 1 + int((~(np.delete(scores, rows) < scores[rows].max())).sum())


def _about_training(inputs: Inputs, rows: Sequence[int]) -> Inputs:
    """The inputs with training images in the place of the queries."""
    images = np.moveaxis(inputs.train_images[rows], 3, 1)
    by_timestep = isinstance(inputs.spectrum, Spectra)
    features = None if inputs.train_features is None else inputs.train_features[rows]
    return replace(
        inputs,
        query_images=images.astype(np.float32) / 127.5 - 1,
        query_labels=inputs.train_labels[rows],
        query_features=features,
        query_timesteps=inputs.spectrum.train[:, rows] if by_timestep else None,
        others=tuple((train, train[rows]) for train, _ in inputs.others),
        candidates=None,  # of the queries
    )
