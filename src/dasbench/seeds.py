"""Random numbers from named axes.

Every random draw in the benchmark is addressed by what it is for, never by when it happens:
``generator("digits", 0, "eval", 7, 1, "training", "noise")``. Two draws with different names are
independent, the same name gives the same numbers on every machine, in any order, in any process.
The Philox counter generator (Salmon et al., 2011) is keyed by a hash of the names.
"""

from __future__ import annotations

import hashlib

import numpy as np


def key(*axes: str | int) -> int:
    """128-bit key of a named draw.

    The axes are joined with their types and lengths, so that ``("a", "b")``, ``("ab",)`` and
    ``("1",)``, ``(1,)`` all differ; NumPy's integers are integers.
    """
    if not axes:
        raise ValueError("a random draw needs at least one named axis")
    axes = [axis.item() if isinstance(axis, np.generic) else axis for axis in axes]
    text = "".join(f"{type(axis).__name__}:{len(str(axis))}:{axis};" for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def generator(*axes: str | int) -> np.random.Generator:
    """Generator of the draw with these names.

    Args:
        axes: Strings and integers, from the general to the special: experiment, seed, use, model,
            retraining seed, stream, split, example, timestep, draw (those that apply).

    Returns:
        A fresh NumPy generator; the same axes always give the same numbers.
    """
    return np.random.Generator(np.random.Philox(key=key(*axes)))
