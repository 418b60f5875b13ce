"""Noise policies: which images share their noise.

keyed   Every example has noise of its own, keyed by (stream, split, example, t, draw).
common  All examples and queries share one noise array, keyed by (stream, t, draw). The features of
        two images then differ only because the images differ.
batch   The example at position i of the split has noise[i mod 16]. Released code does this, as a
        side effect of its data loader.
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
        split: "train", "val" or "gen"; only ``keyed`` uses it.
        examples: [n] ids of the examples for ``keyed``, positions in the split for ``batch``;
            ``common`` uses only their number n.
        t: Timestep.
        repeat: Number of the noise draw at this timestep, from 0.
        shape: (C, H, W).

    Returns:
        [n, C, H, W] float32.

    Raises:
        ValueError: If the policy is unknown.
    """
    if policy == "common":
        shared = seeds.generator(*axes, "common", t, repeat).standard_normal(shape, np.float32)
        return np.broadcast_to(shared, (len(examples), *shape)).copy()
    if policy == "batch":
        period = seeds.generator(*axes, "batch", t, repeat).standard_normal(
            (PERIOD, *shape), np.float32
        )
        return period[np.asarray(examples) % PERIOD]
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
