"""Attribution by unlearning: training examples that a model forgets when it unlearns the query.

A score is L_i(theta') - L_i(theta) after one step of ascent on the query's loss,
theta' = theta + (alpha / N) F^-1 grad L_q, with F the diagonal of the empirical Fisher matrix.
``dasbench.gradients.unlearning`` describes and computes it. The step size alpha takes the place of
the damping. It has three values, a factor of ten apart, around 0.01, the value in the released
code; tuning data select one. Losses are measured at few timesteps (``loss_timesteps``), because
every query needs a separate model.

Reference: Wang et al. (NeurIPS 2024), arXiv 2406.09408.
Cost: one pass of gradients over N + Q images; then N forward passes for every query, step size and
timestep. For many queries it is by far the most expensive method.
Direction: signed, helpful is positive: an example that is forgotten with the query taught it.
Does not apply: without access to the weights, or where N forward passes for each query cost too
much.
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
    """Yield (step size, scores [N, Q]) from the files of the rule compute_unlearning.

    If ``damping`` is one of the step sizes, yield the scores at that step size. Otherwise it is the
    damping grid of other methods, in another unit: yield the scores at every step size.
    """
    known = inputs.computed.dampings
    one = len(damping) == 1 and np.isclose(known, damping[0], rtol=1e-9, atol=0).any()
    yield from computed_path(inputs, damping if one else known)
