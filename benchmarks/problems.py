"""The two sizes at which feature engines are compared.

Weights and images come from seeds: what is timed does not depend on their values. Both models
attend in the middle block alone, as ``UNet2DModel`` does unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler

from benchmarks.machine import ROOT
from dasbench import config, diffusion, models, noise

AXES = ("benchmarks", 0)
FASHION = {
    "block_out_channels": [32, 64, 128],
    "down_block_types": ["DownBlock2D"] * 3,
    "up_block_types": ["UpBlock2D"] * 3,
    "layers_per_block": 1,
    "norm_num_groups": 8,
}


@dataclass(frozen=True)
class Problem:
    """A denoiser with its images.

    Attributes:
        name: "digits" or "fashion".
        unet: In evaluation mode.
        scheduler: Its DDPM scheduler.
        images: [n, C, H, W] float32.
        batch: Noised images in one pass, for every engine that is compared.
    """

    name: str
    unet: torch.nn.Module
    scheduler: DDPMScheduler
    images: np.ndarray
    batch: int

    @property
    def parameters(self) -> int:
        """Number of weights p."""
        return sum(w.numel() for w in self.unet.parameters())

    def noised(self, timesteps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """All images at T midpoints under common noise: (x_t, t, target), ``batch`` at a time."""
        grid = diffusion.timestep_grid(timesteps, self.scheduler.config.num_train_timesteps)
        x = torch.from_numpy(self.images)
        for t in map(int, grid):
            one = noise.draw("common", (*AXES, "features"), "train", [0], t, 0, x.shape[1:])
            for some in x.split(self.batch):
                steps = torch.full((len(some),), t)
                eps = torch.from_numpy(one).expand_as(some)
                abar = diffusion.alphas(self.scheduler, steps, some)
                wanted = diffusion.target(some, eps, abar, self.scheduler.config.prediction_type)
                yield diffusion.noised(some, eps, abar), steps, wanted


def digits(count: int) -> Problem:
    """The model of the experiment digits, 8x8 images."""
    experiment = config.load("digits", ROOT)
    return _problem("digits", experiment["model"], (1, 8, 8), count, batch=128)


def fashion(count: int) -> Problem:
    """Three levels, more than a million weights, 28x28 images."""
    return _problem("fashion", FASHION, (1, 28, 28), count, batch=32)


def projection_kind() -> str:
    """The projection that the experiment digits uses."""
    return config.load("digits", ROOT)["features"]["projection"]


PROBLEMS: dict[str, Callable[[int], Problem]] = {"digits": digits, "fashion": fashion}


def _problem(
    name: str, model: dict[str, Any], shape: tuple[int, int, int], count: int, batch: int
) -> Problem:
    process = {"timesteps": 1000, "beta_schedule": "linear", "prediction_type": "epsilon"}
    unet, scheduler = models.build(model, process, shape, (*AXES, name))
    images = np.random.default_rng(0).uniform(-1, 1, (count, *shape)).astype(np.float32)
    return Problem(name, unet.eval(), scheduler, images, batch)
