"""Cosine of loss gradients, timestep by timestep: mean_t cos(g_{q,t}, g_{i,t}).

All images have the same noise at a timestep, so that two gradients differ only because the images
do. Each timestep counts alike: with ``gradient_cosine``, whose gradients are averaged before the
cosine, timesteps with long gradients decide. There is no kernel and no damping. The features are
those of ``das_stepwise``.

References: the norm of a timestep's gradient biases influence, and dividing by it helps, Xie et al.
(2024), arXiv 2401.09031 (Diffusion-ReTrac); common timesteps and noise, arXiv 2601.08828 (Motive).
Cost: features of N + Q images at T timesteps, kept apart; 2 N Q P T for the cosines.
Direction: signed, helpful is positive.
Does not apply: without gradients (a black-box model).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.methods.similarity import similarity
from dasbench.attribution.parameters import NO_PARAMETERS, Point
from dasbench.core.mapped_pages import release

needs = ("timesteps",)


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield once the similarities [N, Q] of one timestep; there are no parameters."""
    measure = options["measure"]
    yield NO_PARAMETERS, similarity(inputs.train_features, inputs.query_features, measure)


def parts(inputs: Inputs, options: Mapping[str, Any]) -> list[Callable[[], Inputs]]:
    """One part for each timestep."""
    return [functools.partial(_timestep, inputs, t) for t in range(len(inputs.query_timesteps))]


def _timestep(inputs: Inputs, t: int) -> Inputs:
    """The inputs with the features of one timestep."""
    every = inputs.spectrum.train
    release(every)
    return replace(
        inputs,
        train_features=every[t],
        query_features=inputs.query_timesteps[t],
        query_timesteps=None,
        spectrum=None,
    )
