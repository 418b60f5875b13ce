"""Models of pixels: a UNet2DModel with or without classes, stored as a DDPMPipeline."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMPipeline, UNet2DModel

from dasbench.diffusion import checkpoints
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import unet2d
from dasbench.diffusion.families.unet2d import build, untrained
from dasbench.diffusion.process import Process

__all__ = [
    "FILES",
    "MEMBER_FILES",
    "build",
    "condition",
    "load",
    "load_members",
    "save",
    "untrained",
]

# what DDPMPipeline.save_pretrained writes, and from_pretrained needs
FILES = ("model_index.json", *unet2d.FILES)
MEMBER_FILES = FILES


def save(
    folder: str | Path,
    unet: UNet2DModel,
    process: Process,
    model: Mapping[str, Any] | None = None,
) -> None:
    """Write a pipeline folder, see ``checkpoints.write_folder``."""
    pipeline = DDPMPipeline(unet=unet, scheduler=process.scheduler)
    checkpoints.write_folder(folder, FILES, pipeline.save_pretrained)


save_member = save


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    model: Mapping[str, Any] | None = None,
) -> tuple[UNet2DModel, Process]:
    """Read a pipeline folder; see ``unet2d.load``."""
    return unet2d.load(folder, device, FILES)


load_members = functools.partial(checkpoints.read_each, load)


def condition(
    model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray | None = None
) -> Condition | None:
    """The classes of examples as a condition; None for unconditional models."""
    return unet2d.condition(model, labels)
