"""Models of latents: a DiTTransformer2DModel and a frozen autoencoder, stored as a DiTPipeline.

The folder of the base model holds the autoencoder as well. Subset models share this autoencoder,
and their folders hold only the transformer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiTPipeline

from dasbench.diffusion import checkpoints
from dasbench.diffusion import process as processes
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import autoencoder, dit
from dasbench.diffusion.families.autoencoder import decode, encode, encoder
from dasbench.diffusion.families.dit import DiTTransformer2DModel, untrained
from dasbench.diffusion.process import Process

__all__ = ["FILES", "MEMBER_FILES", "decode", "encode", "encoder", "untrained"]

FILES = (
    "model_index.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    *dit.FILES,
)
MEMBER_FILES = dit.FILES
PRETRAINED = ("vqvae", "vae")


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
) -> tuple[DiTTransformer2DModel, Process]:
    """A new denoiser, see ``dit.build``. Latents are not bounded, so sampling never clips."""
    options = {key: value for key, value in model.items() if key != "pretrained"}
    return dit.build(options, diffusion, shape, axes, bounded=False)


def save(
    folder: str | Path, network: DiTTransformer2DModel, process: Process, model: Mapping[str, Any]
) -> None:
    """Write the whole pipeline, autoencoder included."""
    pipeline = DiTPipeline(network.plain(), autoencoder.load(model), process.scheduler)
    checkpoints.write_folder(folder, FILES, pipeline.save_pretrained)


def save_member(
    folder: str | Path, network: DiTTransformer2DModel, process: Process, model: Mapping[str, Any]
) -> None:
    """Write the transformer and the scheduler of its process."""
    checkpoints.write_folder(folder, MEMBER_FILES, lambda place: dit.write(place, network, process))


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    model: Mapping[str, Any] | None = None,
) -> tuple[DiTTransformer2DModel, Process]:
    """Read the transformer and its process; see ``dit.load``."""
    return dit.load(folder, device, bounded=False)


def in_memory(pipeline: DiTPipeline) -> tuple[Any, Process, Any, None]:
    """Its transformer, process and autoencoder; see ``dasbench.diffusion.families``."""
    network = dit.called_without_labels(pipeline.transformer)
    return network, processes.of(pipeline.scheduler), pipeline.vae, None


load_members = functools.partial(checkpoints.read_each, load)


def condition(
    model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray | None = None
) -> Condition | None:
    """The classes of examples as a condition; None for unconditional models."""
    return dit.condition(model, labels)
