"""Controls: scores that any method should beat, or that explain why a method does well.

random        independent Gaussian noise: its expected LDS is zero.
class_match   1 where the labels agree, else 0. A generated query has the majority label of its
              five pixel-nearest training images (stored with the queries). Under stratified
              subsets every class has the same count everywhere: its LDS is undefined by design.
train_norm    ||phi_i||, the same for every query: how much an example moves the model.

References: no control is a published method; Hammoudeh and Lowd (2022), arXiv 2201.10055, discuss
how much the norm alone explains.
Cost: none beyond the features.
Direction: class_match "more influential"; train_norm likewise; random has none.
Does not apply: class_match without labels; train_norm without gradients (a black-box model).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench import seeds
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import NO_PARAMETERS, Point
from dasbench.core import memmaps
from dasbench.core.blocks import memory_blocks

needs = ("features",)


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield the scores of ``options["control"]`` once; controls have no parameters."""
    yield NO_PARAMETERS, CONTROLS[options["control"]](inputs)


def random(inputs: Inputs) -> np.ndarray:
    """[N, Q] standard normal, from named seeds; scores of a query ignore the other queries."""
    if inputs.positions is None:
        return seeds.generator(*inputs.axes, "random").standard_normal(inputs.shape)
    rng, scores = seeds.generator(*inputs.axes, "random"), np.empty(inputs.shape)
    for rows in memory_blocks(len(scores), 8 * inputs.asked):
        drawn = rng.standard_normal((rows.stop - rows.start, inputs.asked))
        scores[rows] = drawn[:, inputs.positions]
    return scores


def class_match(inputs: Inputs) -> np.ndarray:
    """[N, Q], 1 where example and query have the same label."""
    return (inputs.train_labels[:, None] == inputs.query_labels[None, :]).astype(np.float64)


def train_norm(inputs: Inputs) -> np.ndarray:
    """[N, Q], the norm of each example's features, equal in every column."""
    lengths = memmaps.norms(inputs.train_features)
    return np.repeat(lengths[:, None], inputs.shape[1], axis=1)


CONTROLS = {"random": random, "class_match": class_match, "train_norm": train_norm}
