"""Squared influence with EK-FAC's curvature, timestep by timestep, with the same noise for all.

F is the curvature of ``ekfac_if``, one for all timesteps, g_{i,t} the loss gradient of example i at
timestep t, g_i its mean over t, and J_{q,t} the derivative of the prediction for query q.

ekfac_stepwise               mean_t (g_{q,t}^T (F + lambda)^-1 g_{i,t})^2
ekfac_displacement           mean_{t,v} ((v^T J_{q,t}) (F + lambda)^-1 g_i)^2
ekfac_displacement_stepwise  the same with g_{i,t} in the place of g_i

Each v is an array of random signs. ``dasbench.gradients.ekfac_stepwise`` computes the root of these
means, and the transform of the methods is the square. So ``identity`` is the root mean square, and
``signed_square`` equals ``square``. Dampings are relative to the largest corrected eigenvalue of
all layers.

References: EK-FAC for influence, Grosse et al. (2023), arXiv 2308.03296; how far the prediction
moves, after TID, arXiv 2609.38776, and the displacement of DAS, Lin et al. (2025), arXiv
2410.18639; the mean of squares over timesteps is that of ``das_stepwise``.
Cost: two passes of gradients over N images for F and one for the scores, at T timesteps; one pass
over Q queries for each block of examples, with the displacement one for each probe; then
2 N Q p T for every damping (with the displacement, and for every probe), by far the largest part.
Memory of 4 Q p bytes.
Direction: unsigned, "more influential".
Does not apply: to a network without linear or convolution layers, or without access to its weights.
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
    yield from computed_path(inputs, points, "damping")


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The damping, relative to the largest corrected eigenvalue."""
    return product({"damping": dampings})
