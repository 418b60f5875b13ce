"""Attribution by unlearning: training examples that a model forgets when it unlearns the query.

A score is L_i(theta') - L_i(theta) after one step of ascent on the query's loss,
theta' = theta + (alpha / N) F^-1 grad L_q, with F the diagonal of the empirical Fisher matrix.
``dasbench.gradients.unlearning`` describes and computes it. The step size alpha is the
parameter ``step``. It has three values, a factor of ten apart, around 0.01, the value in the
released code; tuning data select one. Losses are measured at few timesteps (``loss_timesteps``),
because every query needs a separate model.

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
from dasbench.attribution.parameters import Point, product

needs = ("computed",)


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [N, Q]) from the files of the rule compute_unlearning."""
    yield from computed_path(inputs, points, "step")


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The step size, alpha."""
    return product({"step": options["steps"]})
