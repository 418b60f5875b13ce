"""The two sizes at which feature engines are compared.

Weights and images come from seeds: what is timed does not depend on their values. Both models
attend in the middle block alone, as ``UNet2DModel`` does unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.machine import ROOT
from dasbench.core.blocks import blocks
from dasbench.diffusion.families import pixel
from dasbench.diffusion.process import Process
from dasbench.experiments import config
from dasbench.gradients import features

AXES = ("benchmarks", 0)
DIMENSIONS = 4096
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
        process: Its process.
        images: [n, C, H, W] float32.
        batch: Noised images in one pass, for every engine that is compared.
    """

    name: str
    unet: torch.nn.Module
    process: Process
    images: np.ndarray
    batch: int

    @property
    def parameters(self) -> int:
        """Number of weights p."""
        return sum(w.numel() for w in self.unet.parameters())

    def extractor(
        self,
        settings: Mapping[str, Any],
        batch: int | None = None,
        readouts: Sequence[tuple[str, bool]] | None = None,
    ) -> features.Extractor:
        """An engine of features on this model; ``batch`` is the problem's own unless given."""
        return features.Extractor(
            self.unet, self.process, settings, AXES, batch or self.batch, readouts
        )

    def noised(self, timesteps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """All images at T midpoints under common noise: (x_t, t, target), ``batch`` at a time.

        The features' own function draws the noise and adds it, so that whatever is compared does
        the same work outside the network, in the same batches.
        """
        engine = self.extractor(feature_settings(timesteps, projection="none", norms="exact"))
        for rows in blocks(len(self.images), self.batch):
            x = torch.from_numpy(self.images[rows])
            yield from engine._noised(x, range(rows.start, rows.stop), "train")


def feature_settings(timesteps: int, dimensions: int = DIMENSIONS, **others: Any) -> dict[str, Any]:
    """Settings of features: those of ``das_common``, projected on both sides, without norm layers.

    Args:
        timesteps: T.
        dimensions: P.
        others: What is to be different.
    """
    return {
        "readout": "mean",
        "normalise": True,
        "noise": "common",
        "timesteps": timesteps,
        "timestep_rule": "midpoint",
        "draws": 1,
        "dimensions": dimensions,
        "projection": "kronecker",
        "norms": "projected",
        "oversampling": 1,
        "parameters": "weights",
    } | others


def own_settings() -> dict[str, Any]:
    """Features as the experiment digits has them, for its engine's options."""
    return config.load("digits", ROOT)["features"]


def digits(count: int) -> Problem:
    """The model of the experiment digits, 8x8 images."""
    experiment = config.load("digits", ROOT)
    return _problem("digits", experiment["model"], (1, 8, 8), count, batch=512)


def fashion(count: int) -> Problem:
    """Three levels, more than a million weights, 28x28 images.

    Weights lie with channels last, for everything that is compared: at this size our features put
    them so, and training steps and released gradients are faster with it, too.
    """
    made = _problem("fashion", FASHION, (1, 28, 28), count, batch=32)
    made.unet.to(memory_format=torch.channels_last)
    return made


PROBLEMS: dict[str, Callable[[int], Problem]] = {"digits": digits, "fashion": fashion}


def _problem(
    name: str, model: dict[str, Any], shape: tuple[int, int, int], count: int, batch: int
) -> Problem:
    diffusion = {"timesteps": 1000, "beta_schedule": "linear", "prediction_type": "epsilon"}
    unet, process = pixel.build(model, diffusion, shape, (*AXES, name))
    images = np.random.default_rng(0).uniform(-1, 1, (count, *shape)).astype(np.float32)
    return Problem(name, unet.eval(), process, images, batch)
