"""Influence with an EK-FAC Gauss-Newton matrix: g_q^T (F + lambda)^-1 g_i.

F is the curvature of all weights, block-diagonal over layers. It replaces the kernel of projected
features: there is no projection and no N x N matrix. ``dasbench.gradients.ekfac`` describes and
computes it, without the norm layers. Dampings are relative to the largest corrected eigenvalue of
all layers, on the grid of every other method.

References: Grosse et al. (2023), arXiv 2308.03296; for diffusion models, with the Gauss-Newton
matrix of the loss, Mlodozeniec et al. (ICLR 2025), arXiv 2410.13850.
Cost: three passes of gradients over N images at T timesteps, one over Q; d^3 for each side of a
layer; 2 N Q p for every damping; memory of Q p numbers.
Direction: signed, helpful is positive.
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
    """Yield (point, scores [N, Q]) from the files of the rule compute_ekfac."""
    yield from computed_path(inputs, points, "damping")


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The damping, relative to the largest corrected eigenvalue."""
    return product({"damping": dampings})
