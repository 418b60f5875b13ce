"""Models of latents: a UNet2DModel and a frozen autoencoder, stored as an LDMPipeline.

The folder of the base model holds the autoencoder as well. Subset models share this autoencoder,
and their folders hold only the UNet.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import LDMPipeline, UNet2DModel

from dasbench.diffusion import checkpoints
from dasbench.diffusion import process as processes
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import autoencoder, unet2d
from dasbench.diffusion.families.autoencoder import decode, encode, encoder
from dasbench.diffusion.families.unet2d import untrained
from dasbench.diffusion.process import Process

__all__ = ["FILES", "MEMBER_FILES", "decode", "encode", "encoder", "untrained"]

FILES = (
    "model_index.json",
    "vqvae/config.json",
    "vqvae/diffusion_pytorch_model.safetensors",
    *unet2d.FILES,
)
MEMBER_FILES = unet2d.FILES
PRETRAINED = ("vqvae", "vae")


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
) -> tuple[UNet2DModel, Process]:
    """A new denoiser, see ``unet2d.build``. Latents are not bounded, so sampling never clips."""
    return unet2d.build(model, diffusion, shape, axes, bounded=False)


def save(folder: str | Path, unet: UNet2DModel, process: Process, model: Mapping[str, Any]) -> None:
    """Write the whole pipeline, autoencoder included."""
    pipeline = LDMPipeline(vqvae=autoencoder.load(model), unet=unet, scheduler=process.scheduler)
    checkpoints.write_folder(folder, FILES, pipeline.save_pretrained)


def save_member(
    folder: str | Path, unet: UNet2DModel, process: Process, model: Mapping[str, Any]
) -> None:
    """Write the UNet and the scheduler of its process."""

    def write(place: Path) -> None:
        unet.save_pretrained(place / "unet")
        process.scheduler.save_pretrained(place / "scheduler")

    checkpoints.write_folder(folder, MEMBER_FILES, write)


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    model: Mapping[str, Any] | None = None,
) -> tuple[UNet2DModel, Process]:
    """Read the UNet and its process; see ``unet2d.load``."""
    return unet2d.load(folder, device, images=False)


def in_memory(pipeline: LDMPipeline) -> tuple[Any, Process, Any, None]:
    """Its unet, process and autoencoder; see ``dasbench.diffusion.families``."""
    return pipeline.unet, processes.of(pipeline.scheduler), pipeline.vqvae, None


load_members = functools.partial(checkpoints.read_each, load)


def condition(
    model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray | None = None
) -> Condition | None:
    """The classes of examples as a condition; None for unconditional models."""
    return unet2d.condition(model, labels)
