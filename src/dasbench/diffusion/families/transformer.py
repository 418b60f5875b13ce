"""Models of pixels: a DiTTransformer2DModel with or without classes.

Diffusers has no pipeline for transformers of pixels, so the folder holds its parts:
``DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer")`` and the scheduler.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dasbench.diffusion import checkpoints
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import dit
from dasbench.diffusion.families.dit import DiTTransformer2DModel, build, untrained
from dasbench.diffusion.process import Process

__all__ = ["FILES", "MEMBER_FILES", "build", "condition", "load", "load_members", "untrained"]

FILES = dit.FILES
MEMBER_FILES = FILES


def save(
    folder: str | Path,
    network: DiTTransformer2DModel,
    process: Process,
    model: Mapping[str, Any] | None = None,
) -> None:
    """Write the transformer and the scheduler, see ``checkpoints.write_folder``."""
    checkpoints.write_folder(folder, FILES, lambda place: dit.write(place, network, process))


save_member = save


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    model: Mapping[str, Any] | None = None,
) -> tuple[DiTTransformer2DModel, Process]:
    """Read a folder; see ``dit.load``."""
    return dit.load(folder, device)


load_members = functools.partial(checkpoints.read_each, load)


def condition(
    model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray | None = None
) -> Condition | None:
    """The classes of examples as a condition; None for unconditional models."""
    return dit.condition(model, labels)
