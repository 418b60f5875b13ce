"""Attribution by unlearning: which training examples a model forgets with the query.

L_i(theta') - L_i(theta) after one step of ascent on the query's loss, theta' = theta + (alpha / N)
F^-1 grad L_q, with the diagonal of the empirical Fisher matrix. ``dasbench.gradients.unlearning``
computes it and says how. In the place of a damping stands the step size alpha: three of them, a
factor of ten apart around the released code's 0.01; one is chosen on tuning data. Losses are
measured at few timesteps (``loss_timesteps``), since every query is a model of its own.

Reference: Wang et al. (NeurIPS 2024), arXiv 2406.09408.
Cost: one pass of gradients over N + Q images; then N forward passes for every query, step size and
timestep: by far the dearest method for many queries.
Direction: signed, helpful is positive: what is forgotten with the query taught the query.
Does not apply: where the weights are not at hand, or N forward passes for each query are too many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.methods.interface import computed_path

needs = ("computed",)


def path(
    inputs: Inputs, options: Mapping[str, Any], damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield (step size, scores [N, Q]) of what the rule compute_unlearning made.

    One step size asks for that one; anything else is the grid of other methods, in another unit.
    """
    known = inputs.computed.dampings
    one = len(damping) == 1 and np.isclose(known, damping[0], rtol=1e-9, atol=0).any()
    yield from computed_path(inputs, damping if one else known)
