"""The digits of ``dasbench.data.digits``, 50 of which stand in the training part several times.

``digits_repeated`` has the copies. ``digits_once`` has the same training digits once each, and the
same held-out images: the difference between models of both is what repetition does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dasbench import seeds
from dasbench.data import digits, files

COPIES = (2, 4, 8)  # how often a repeated image stands there, in turn
REPEATED = 50  # images that are repeated
DISTINCT = 820  # training images without their copies
SINGLES = 50  # images among the others with which the repeated ones are compared


def read(options: Mapping[str, Any]) -> files.Source:
    """All digits in two parts, with the copies for ``data.dataset: digits_repeated``.

    Args:
        options: The ``data`` section; ``dataset`` alone changes the images.

    Returns:
        Images [n, 8, 8, 1], first those of the digits in their order, then the further copies.
        ``digit_of`` says which digit an image of the whole pool is.
    """
    pool, order = digits.pool(), _order()
    parts = np.full(len(order), files.HELD_OUT, np.uint8)
    parts[order[:DISTINCT]] = files.TRAIN
    rows = np.arange(len(order))
    if options["dataset"] == "digits_repeated":
        rows = np.concatenate([rows, _further()])
    classes = {label: str(label) for label in range(10)}
    return files.Source(pool.images[rows], pool.labels[rows], parts[rows], classes)


def digit_of(ids: np.ndarray) -> np.ndarray:
    """Which digit an image is: copies are the same digit.

    Args:
        ids: [n] positions in the whole pool of either data set.

    Returns:
        [n] int64, positions among all digits.
    """
    return np.concatenate([np.arange(len(_order())), _further()])[ids]


def asked_about() -> dict[int, int]:
    """Digit -> how often it stands in the training part: the repeated ones, then ``SINGLES``."""
    order = _order()
    copies = {int(digit): COPIES[i % len(COPIES)] for i, digit in enumerate(order[:REPEATED])}
    return copies | {int(digit): 1 for digit in order[REPEATED : REPEATED + SINGLES]}


def _further() -> np.ndarray:
    """The digit of every copy but the first, in order."""
    copies = asked_about()
    return np.repeat(np.array(list(copies)), np.array(list(copies.values())) - 1)


def _order() -> np.ndarray:
    """All digits in random order: repeated, single, then held out."""
    return seeds.generator("digits_repeated", "order").permutation(len(digits.pool().ids))
