"""Features of one model at one timestep after the other, for ensembles of models.

``Extractor.by_timestep`` holds the features of all timesteps; here they are forgotten one by one.
All members of an ensemble share the projection and, with common noise, the noise: both are keyed by
the experiment, not by the model. So the members differ in their weights alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.diffusion import timestep_grids
from dasbench.diffusion.model_inputs import Split
from dasbench.gradients.features import Extractor


def grids(settings: Mapping[str, Any], counts: Sequence[int], total: int) -> list[np.ndarray]:
    """The timesteps of grids with T of ``counts``.

    Three times as many midpoints contain the midpoints: T = 1, 3, 9, 27 cost no more than 27.

    Args:
        settings: Of the features: timestep_rule and, optionally, timestep_range.
        counts: T of each grid.
        total: Timesteps of the diffusion process.
    """
    return [timestep_grids.timesteps({**settings, "timesteps": t}, total) for t in counts]


def by_step(
    extractor: Extractor, splits: Mapping[str, Split], steps: Iterable[int]
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield (t, {split: features [n, P] float32}), for a readout that is no probe.

    Args:
        extractor: Of the model; its own timesteps are not used.
        splits: "train" and kinds of queries -> images, keys and conditions.
        steps: Timesteps.

    Raises:
        UserError: If the rules for layers do not give the network's gradients.
    """
    train = splits["train"]
    extractor.check(train.images.shape[1:], train.condition)  # once, not at every timestep
    for t in steps:
        one = copy.copy(extractor)
        one.grid = np.array([t])
        yield (
            int(t),
            {
                name: one.by_timestep(split.images, split.keys, name, split.condition)[0][0]
                for name, split in splits.items()
            },
        )


def about(split: Split, rows: Sequence[int]) -> Split:
    """Some images of a split; their keys, so their noise, stay what they are in all of it."""
    condition = None if split.condition is None else split.condition[np.asarray(rows)]
    return Split(split.images[rows], np.asarray(split.keys)[rows], condition)
