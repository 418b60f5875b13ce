"""The digits of ``dasbench.data.digits``, some training images and all held-out ones with a mark.

The mark is a white square in the lower left corner, where no digit has a stroke. It stands on
``MARKED`` training images of the classes ``CLASSES``. Training images of other classes never have
it. Every held-out image has the mark, so some held-out images are of classes that had the mark in
training and the others are not. What a score should find for an image with the mark: the training
images with the mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dasbench import seeds
from dasbench.data import digits, files

TRAINING = 1000  # images of the training part
MARKED = 16  # of them have the mark
CLASSES = (0, 1, 2, 3, 4)  # classes of the marked training images
SIDE = 2  # pixels of the square
BRIGHT = 0.0  # for a model, whose images span -1 to 1: a square darker than this is no mark


def read(options: Mapping[str, Any]) -> files.Source:
    """All digits in two parts, with marks.

    Args:
        options: The ``data`` section, of which nothing changes the images.

    Returns:
        Images [n, 8, 8, 1] in the order of the digits, ``TRAINING`` of them in the training part.
        The position of an image in the whole pool is the id of its digit.
    """
    pool = digits.pool()
    images = pool.images.copy()
    parts = np.where(_in_training(), files.TRAIN, files.HELD_OUT).astype(np.uint8)
    has_mark = is_marked(pool.ids) | (parts == files.HELD_OUT)
    images[has_mark, -SIDE:, :SIDE] = 255
    return files.Source(images, pool.labels, parts, {label: str(label) for label in range(10)})


def is_marked(ids: np.ndarray) -> np.ndarray:
    """Whether training images have the mark.

    Args:
        ids: [n] ids of training images, positions among all digits.

    Returns:
        [n] bool.
    """
    labels, order = digits.pool().labels, _order()[:TRAINING]
    chosen = order[np.isin(labels[order], CLASSES)][:MARKED]
    return np.isin(ids, chosen)


def shows_mark(images: np.ndarray) -> np.ndarray:
    """Whether images show the mark: every pixel of the corner is bright.

    Args:
        images: [n, C, H, W] float in [-1, 1].

    Returns:
        [n] bool.
    """
    corner = images[:, :, -SIDE:, :SIDE].reshape(len(images), -1)
    return (corner > BRIGHT).all(axis=1)


def _order() -> np.ndarray:
    """All digits in random order; the first ``TRAINING`` are the training part."""
    return seeds.generator("digits_marked", "order").permutation(len(digits.pool().ids))


def _in_training() -> np.ndarray:
    """Whether each digit is in the training part, [1797] bool."""
    order = _order()
    inside = np.zeros(len(order), bool)
    inside[order[:TRAINING]] = True
    return inside
