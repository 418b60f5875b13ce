"""scikit-learn's copy of the UCI optical handwritten digits: 1797 grey images of 8 x 8."""

from __future__ import annotations

import numpy as np

from dasbench.core.artifacts import Examples

CARD = {
    "name": "Optical recognition of handwritten digits (test part), as shipped by scikit-learn",
    "source": "UCI Machine Learning Repository, Alpaydin and Kaynak (1998), through scikit-learn",
    "licence": "CC BY 4.0",
    "content": "1797 grey images of 8 x 8 pixels, ten classes, 13 writers",
    "known": "pixels are block counts from 0 to 16, stored here as round(255 * count / 16)",
}


def pool() -> Examples:
    """All 1797 digits.

    Returns:
        Images [1797, 8, 8, 1] uint8; the counts 0 to 16 of the source span 0 to 255, so that the
        model sees count / 8 - 1 (up to rounding to 8 bits).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return Examples(images, bunch.target.astype(np.int64), np.arange(len(images)))
