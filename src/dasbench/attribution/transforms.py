"""Transforms of a score before the sum over a subset.

The linear datamodelling score (LDS) sums scores over a subset, so squaring them first changes the
ranking of subsets. Some published methods differ only in this step. The results therefore show
every method under all three transforms, and mark the transform of its publication.
"""

import numpy as np

TRANSFORMS = ("identity", "square", "signed_square")


def apply(scores: np.ndarray, name: str) -> np.ndarray:
    """Transform every score s: ``identity`` s, ``square`` s^2, ``signed_square`` s |s|.

    The signed square stretches large scores and keeps their order and sign.

    Args:
        scores: Any shape, any real dtype.
        name: One of ``TRANSFORMS``.

    Returns:
        Same shape, float64: squares of small float32 scores would underflow to 0 and become ties.

    Raises:
        ValueError: If the name is not a transform.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if name == "identity":
        return scores
    if name == "square":
        return scores * scores
    if name == "signed_square":
        return scores * np.abs(scores)
    raise ValueError(
        f"transform is {name!r}, expected one of {TRANSFORMS}; correct the method's options"
    )
