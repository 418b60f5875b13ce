"""Random numbers from named axes.

The name of a random draw states its purpose, such as
``generator("digits", 0, "eval", 7, 1, "training", "noise")``. Draws with different names are
independent. The same name gives the same numbers on every machine, in any order, in any process.

Source: the Philox counter generator (Salmon et al., 2011), keyed by a hash of the names.
"""

from __future__ import annotations

import hashlib

import numpy as np


def key(*axes: str | int) -> int:
    """128-bit key of a named draw.

    The key hashes each axis with its type and length, so ``("a", "b")`` differs from ``("ab",)``
    and ``("1",)`` from ``(1,)``. A NumPy integer counts as a Python integer.

    Raises:
        ValueError: If there is no axis.
    """
    if not axes:
        raise ValueError("a random draw needs at least one named axis")
    axes = [axis.item() if isinstance(axis, np.generic) else axis for axis in axes]
    text = "".join(f"{type(axis).__name__}:{len(str(axis))}:{axis};" for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def generator(*axes: str | int) -> np.random.Generator:
    """Generator of the draw with these names.

    Args:
        axes: Strings and integers, from the general to the specific: experiment, seed, use, model,
            retraining seed, stream, split, example, timestep, draw. Leave out those that do not
            apply.

    Returns:
        A fresh NumPy generator; the same axes always give the same numbers.
    """
    return np.random.Generator(np.random.Philox(key=key(*axes)))
