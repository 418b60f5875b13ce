"""The UNet2DModel of diffusers, which pixel and latent models share; with or without classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel

from dasbench.diffusion import checkpoints
from dasbench.diffusion import process as processes
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process
from dasbench.errors import UserError

FILES = (
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
# keys of the section ``model`` that are no arguments of UNet2DModel
OURS = ("family", "pretrained", "revision", "lora", "prompt", "frozen")


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
    bounded: bool = True,
) -> tuple[UNet2DModel, Process]:
    """A new denoiser with initial weights drawn for this model.

    Args:
        model: Arguments of diffusers' UNet2DModel; sample size and channels follow the data.
        diffusion: See ``process.build``.
        shape: (C, H, W) of the images or latents.
        axes: Seed axes of this model; its weights are drawn from the stream "init".
        bounded: Whether the model denoises images in [-1, 1].

    Returns:
        The UNet on the CPU and its process.
    """
    return untrained(model, shape, axes), processes.build(diffusion, bounded)


def untrained(
    model: Mapping[str, Any], shape: tuple[int, int, int], axes: Sequence[str | int]
) -> UNet2DModel:
    """The denoiser of ``build``, which has the same arguments, without a process."""
    channels, height, width = shape
    arguments = {k: v for k, v in model.items() if k not in OURS}
    with checkpoints.initial_weights(axes):
        return UNet2DModel(
            sample_size=height if height == width else (height, width),
            in_channels=channels,
            out_channels=channels,
            **{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()},
        )


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    files: Sequence[str] = FILES,
    images: bool = True,
) -> tuple[UNet2DModel, Process]:
    """Read the UNet and the process of a folder. Only JSON and safetensors are opened.

    Args:
        folder: Folder of a base model or a member.
        device: Device of the UNet.
        files: Paths of the needed files, relative to the folder; the weights come last.
        images: Whether the model denoises images in [-1, 1].

    Returns:
        The UNet in evaluation mode on ``device``, and its process.

    Raises:
        UserError: If a file is missing or damaged.
    """
    unet, process = checkpoints.read_model(UNet2DModel, folder, "unet", files, images)
    return unet.eval().to(device), process


def condition(model: Mapping[str, Any], labels: np.ndarray) -> Condition | None:
    """The classes of examples as a condition; None for unconditional models.

    Raises:
        UserError: If a label is outside the model's classes.
    """
    classes = model.get("num_class_embeds")
    if classes is None:
        return None
    if labels.max() >= classes:
        raise UserError(
            f"model.num_class_embeds is {classes}, but there is an example with label "
            f"{labels.max()}; give at least {labels.max() + 1}"
        )
    return Condition("class_labels", torch.from_numpy(labels))
