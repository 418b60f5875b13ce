"""What may be done to a score before it is summed over a subset.

The linear datamodelling score adds scores up, so squaring them first changes the ranking of
subsets; published methods differ in this step alone. Every method is therefore reported under all
three transforms, its own marked.
"""

import numpy as np

MATRIX = 2  # axes
TRANSFORMS = ("identity", "square", "signed_square")


def apply(scores: np.ndarray, name: str) -> np.ndarray:
    """Transform scores, one by one.

    ``identity`` s, ``square`` s^2, ``signed_square`` s |s| (stretches large scores, keeps the order
    and the sign).

    Args:
        scores: Any shape, any real dtype.
        name: One of ``TRANSFORMS``.

    Returns:
        Same shape, float64: the square of a small float32 would underflow to an artificial tie.

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


def combine(scores: np.ndarray, name: str) -> np.ndarray:
    """Transformed scores [N, Q]; of scores by timestep [T, N, Q], the mean of the transformed.

    Args:
        scores: [N, Q] or [T, N, Q], any real dtype.
        name: One of ``TRANSFORMS``.
    """
    made = apply(scores, name)
    return made.mean(axis=0) if made.ndim > MATRIX else made
