"""Ways from noise to images: one step, what all samplers have in common, and Euler's steps.

Shapes: n images of C channels, H and W pixels; S steps.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch


class Step(NamedTuple):
    """One step of sampling.

    Attributes:
        clean: [n, C, H, W] estimates of the clean images, from the prediction at this timestep.
        x: [n, C, H, W] the images after the step, less noisy than before.
    """

    clean: torch.Tensor
    x: torch.Tensor


class Sampler(Protocol):
    """A deterministic way from noise to images.

    Attributes:
        timesteps: The training timestep of each step, from noise to image; the nearest one if
            sampling stops between two.
    """

    timesteps: list[int]

    def time(self, t: int) -> float:
        """Time argument of the network at the step of timestep t."""

    def step(self, prediction: torch.Tensor, t: int, x: torch.Tensor) -> Step:
        """Take the step at timestep t.

        Args:
            prediction: [n, C, H, W] output of the network at (x, t).
            t: One of ``timesteps``.
            x: [n, C, H, W] noisy images.
        """


class Euler:
    """Euler steps along a rectified flow, with the sigmas of the pipelines of diffusers.

    Args:
        shares: [S + 1] shares of noise, from 1 to 0.
        times: [S] time arguments of the network.
        timesteps: [S] nearest training timesteps, distinct.
        sign: Sign of the network's target.
        bounded: Whether images are in [-1, 1]; then the clean images are clipped to this range.
    """

    def __init__(
        self,
        shares: np.ndarray,
        times: np.ndarray,
        timesteps: list[int],
        sign: int,
        bounded: bool,
    ):
        """Keep the arguments."""
        self.timesteps, self._sign, self._bounded = timesteps, sign, bounded
        here, after = shares[:-1].tolist(), shares[1:].tolist()
        self._ends = dict(zip(timesteps, zip(here, after, strict=True), strict=True))
        self._times = dict(zip(timesteps, times.tolist(), strict=True))

    def time(self, t: int) -> float:
        """See ``Sampler.time``."""
        return self._times[t]

    def step(self, prediction: torch.Tensor, t: int, x: torch.Tensor) -> Step:
        """See ``Sampler.step``."""
        here, after = self._ends[t]
        velocity = self._sign * prediction
        clean = x - here * velocity
        return Step(clean.clamp(-1, 1) if self._bounded else clean, x + (after - here) * velocity)
