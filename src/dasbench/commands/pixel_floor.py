"""The floor beside an answer: similarity of pixels, which needs no model.

What a score of a model says must be more than that. The formulas are those of
``dasbench.attribution.methods.floors``; vectors are float32 here, so that an answer about many
training images takes less than a second.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from dasbench.attribution.answer import Score
from dasbench.attribution.candidates import pixels
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.methods import floors, interface
from dasbench.attribution.parameters import Point
from dasbench.commands.index_settings import FLOOR, FLOOR_POINT
from dasbench.registry import METHODS

_TEXT = "A high value means that the image looks like the query pixel by pixel. No model is used."


class SinglePrecision(floors.Space):
    """Vectors of pixels in float32; see ``floors.Space``."""

    def train(self, rows: slice = slice(None)) -> np.ndarray:
        """Vectors of some training images, [n, P] float32."""
        images = self._inputs.train_images[rows].transpose(0, 3, 1, 2)
        vectors = images.reshape(len(images), self.size).astype(np.float32)
        vectors /= 127.5
        vectors -= 1
        return vectors

    def queries(self, inputs: Inputs) -> np.ndarray:
        """Vectors of the queries of some inputs, [Q, P] float32."""
        return super().queries(inputs).astype(np.float32)

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """Mean of the training vectors, [P] float32, from exact sums."""
        total = sum(
            self._inputs.train_images[rows].sum(axis=0, dtype=np.int64) for rows in self.blocks()
        )
        mean = total.transpose(2, 0, 1).ravel() / (127.5 * len(self)) - 1
        return mean.astype(np.float32)


def score(training: np.ndarray, queries: np.ndarray, point: Point = FLOOR_POINT) -> Score:
    """The floor's scores of all training images.

    Args:
        training: [N, H, W, C] uint8; may be a mapped file.
        queries: [Q, H, W, C] uint8.
        point: Values of its parameters.
    """
    inputs = Inputs(
        train_images=training,
        train_labels=np.zeros(len(training), np.int64),
        train_ids=np.arange(len(training)),
        query_images=pixels(queries),
        query_labels=np.zeros(len(queries), np.int64),
        train_features=None,
        query_features=None,
        residuals=None,
        scores=None,
        axes=("attribute", "floor"),
    )
    inputs = replace(inputs, prepared={"pixels": SinglePrecision(inputs, "pixels")})
    _, values = next(interface.path(METHODS[FLOOR], inputs, [point]))
    return Score(FLOOR, "similarity of pixels", _TEXT, np.asarray(values, np.float64))
