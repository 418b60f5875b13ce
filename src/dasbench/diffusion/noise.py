"""Which noise is added to which image: the three policies of the field.

keyed   every example has its own noise: stream (stream, split, example, t, draw).
common  one noise array for every example and query: stream (stream, t, draw). Differences between
        two images are then differences of the images alone.
batch   noise[i mod 16] with i the position in the split: what released code does by accident of
        its data loader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dasbench import seeds

POLICIES = ("keyed", "common", "batch")
PERIOD = 16


def draw(
    policy: str,
    axes: Sequence[str | int],
    split: str,
    examples: Sequence[int],
    t: int,
    repeat: int,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Noise of some examples at one timestep.

    Args:
        policy: One of ``POLICIES``.
        axes: The leading seed axes: experiment, seed, stream.
        split: "train", "val" or "gen"; matters for ``keyed`` alone.
        examples: What identifies each example: its id for ``keyed``, its position in the split for
            ``batch``; for ``common`` only their number matters.
        t: Timestep.
        repeat: Number of the noise draw at this timestep, from 0.
        shape: (C, H, W).

    Returns:
        [n, C, H, W] float32.

    Raises:
        ValueError: If the policy is unknown.
    """
    if policy == "common":
        one = seeds.generator(*axes, "common", t, repeat).standard_normal(shape, np.float32)
        return np.broadcast_to(one, (len(examples), *shape)).copy()
    if policy == "batch":
        few = seeds.generator(*axes, "batch", t, repeat).standard_normal(
            (PERIOD, *shape), np.float32
        )
        return few[np.asarray(examples) % PERIOD]
    if policy == "keyed":
        return np.stack(
            [
                seeds.generator(*axes, "keyed", split, int(i), t, repeat).standard_normal(
                    shape, np.float32
                )
                for i in examples
            ]
        )
    raise ValueError(f"noise policy must be one of {', '.join(POLICIES)}, got {policy!r}")
