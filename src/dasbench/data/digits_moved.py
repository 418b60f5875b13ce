"""The digits of ``dasbench.data.digits``, each at a random place of a larger canvas.

Two images of one digit at different places share few pixels. Similarity of pixels therefore knows
little of which images resemble each other, and a score has to know more than pixels to predict the
retrained models.
"""

from __future__ import annotations

import numpy as np

from dasbench import seeds
from dasbench.core.artifacts import Examples
from dasbench.data import digits

SIDE = 12  # pixels of the canvas

CARD = {
    **digits.CARD,
    "name": "Handwritten digits of scikit-learn, each at a random place of a 12 x 12 canvas",
    "content": "1797 grey images of 12 x 12 pixels, ten classes, 13 writers",
    "known": "the 8 x 8 pixels are those of digits; an image's place among 25 follows from its id",
}


def pool() -> Examples:
    """All 1797 digits, moved.

    Returns:
        Images [1797, 12, 12, 1] uint8 with labels and ids of the digits. The place is uniform among
        the 25 that hold the whole digit, and depends on the id alone.
    """
    still = digits.pool()
    moved = np.zeros((len(still.ids), SIDE, SIDE, 1), np.uint8)
    height, width = still.images.shape[1:3]
    for canvas, image, i in zip(moved, still.images, still.ids, strict=True):
        top, left = place(int(i), SIDE - height + 1)
        canvas[top : top + height, left : left + width] = image
    return Examples(moved, still.labels, still.ids)


def place(i: int, places: int) -> tuple[int, int]:
    """Row and column of the upper left corner of the image with id ``i``, each below ``places``."""
    row, column = seeds.generator("digits_moved", "place", i).integers(places, size=2)
    return int(row), int(column)
