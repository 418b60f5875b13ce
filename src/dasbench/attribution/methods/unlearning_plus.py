"""Unlearning with EK-FAC's curvature, one noise for all images, and relative losses.

A score is L_i(theta') / L_i(theta) - 1 after one step of ascent on the query's loss,
theta' = theta + s (F + lambda)^-1 grad L_q. ``dasbench.gradients.unlearning_plus`` describes and
computes it. The published score is the ratio. Less 1, it orders images in the same way, and an
image whose loss stays scores 0. The parameter is ``step``, alpha:

unlearning_plus          s = alpha / N; alpha = 1 is the Newton step for leaving one image out.
unlearning_plus_bounded  the query's loss rises by at most the share alpha of the way to the loss of
                         a network that predicts zeros, so that no query breaks the model.

References: AbU+, Wang et al. (NeurIPS 2025), arXiv 2511.10721; MUCS, Serrà et al. (2026), arXiv
2605.17938, for the bounded ascent; both after Wang et al. (NeurIPS 2024), arXiv 2406.09408.
Cost: two passes of gradients over N images at T timesteps; then N forward passes for every query,
step size and timestep of the losses, as for ``unlearning``.
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
    """Yield (point, scores [N, Q]) from the files of the rule compute_influence."""
    yield from computed_path(inputs, points, "step")


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The step size, alpha."""
    return product({"step": options["steps"]})
