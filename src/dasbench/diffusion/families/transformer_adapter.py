"""Adapters (LoRA) of the base model of another experiment, which stays frozen.

``model.frozen`` names an experiment of the family ``transformer``. Only the adapter is trained and
stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import dit, lora
from dasbench.diffusion.families.dit import DiTTransformer2DModel
from dasbench.diffusion.families.lora import Member
from dasbench.diffusion.process import Process
from dasbench.errors import UserError

FILES = lora.FILES
MEMBER_FILES = FILES
_PREFIX = "transformer"
_SIZES = ("num_layers", "num_attention_heads", "attention_head_dim", "patch_size")


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
) -> tuple[DiTTransformer2DModel, Process]:
    """The frozen transformer with a new adapter, and its process.

    Raises:
        UserError: If ``model``, ``diffusion`` or the images describe another transformer.
    """
    network, process = _frozen(model)
    place = f"the base model of {model['frozen']}"
    stated = {key: model[key] for key in _SIZES}
    stated |= {"in_channels": shape[0], "sample_size": shape[1]}
    for key, value in stated.items():
        if network.config[key] != value:
            raise UserError(f"{key} is {value}, but {place} has {network.config[key]}; write that")
    lora.check_process(process, diffusion, place)
    lora.add(network, model["lora"], axes)
    return network, process.trained_with(diffusion)


def save(
    folder: str | Path, network: DiTTransformer2DModel, process: Process, model: Mapping[str, Any]
) -> None:
    """Write the adapter, see ``lora.save``."""
    lora.save(folder, network, _PREFIX, model["lora"])


save_member = save


def load(
    folder: str | Path, device: torch.device | str, model: Mapping[str, Any]
) -> tuple[DiTTransformer2DModel, Process]:
    """The frozen transformer with the adapter of a folder, in evaluation mode."""
    network, process = _frozen(model)
    lora.load(network, folder, _PREFIX)
    return network.eval().to(device), process


def load_members(
    folders: Sequence[str | Path], device: torch.device | str, model: Mapping[str, Any]
) -> tuple[list[Member], Process]:
    """Several adapters of one transformer."""
    network, process = _frozen(model)
    return lora.load_members(network, folders, _PREFIX, device), process


def condition(
    model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray | None = None
) -> Condition | None:
    """None: the frozen transformer has one class."""
    return None


def _frozen(model: Mapping[str, Any]) -> tuple[DiTTransformer2DModel, Process]:
    network, process = dit.load(Path("results", model["frozen"], "models/base"))
    return network.requires_grad_(False), process
