"""Adapters (LoRA) of a frozen network of diffusers: new ones, their files, several at a time.

Files have the format of diffusers' ``load_lora_weights``: safetensors whose keys start with the
name of the network in its pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from dasbench.diffusion import checkpoints
from dasbench.diffusion.process import Process
from dasbench.errors import UserError

FILES = ("pytorch_lora_weights.safetensors",)
_ADAPTER = "default"  # part of the parameters' names, which key the projection
# choices of a training recipe, which a pretrained folder does not state
_RECIPE = ("weighting", "timestep_sampling")


class Member:
    """One of several adapters of one network; a call activates the adapter first."""

    def __init__(self, network: torch.nn.Module, name: str):
        """Keep the network and the name of the adapter."""
        self.network, self.name = network, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """The network's forward pass with this adapter."""
        self.network.set_adapter(self.name)
        return self.network(*args, **keywords)

    def parameters(self) -> Any:
        """Parameters of the network, which carry device and dtype."""
        return self.network.parameters()


def add(network: torch.nn.Module, lora: Mapping[str, Any], axes: Sequence[str | int]) -> None:
    """Give a frozen network a new adapter; its B matrices are zero.

    Args:
        network: A network of diffusers, without parameters that require a gradient.
        lora: rank, alpha, targets.
        axes: Seed axes of the model; the A matrices are drawn from the stream "init".

    Raises:
        UserError: If no layer of the network has a name that ends with a target.
    """
    config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        target_modules=list(lora["targets"]),
        init_lora_weights="gaussian",
    )
    with checkpoints.initial_weights(axes):
        try:
            network.add_adapter(config, _ADAPTER)
        except ValueError as error:
            raise UserError(
                f"model.lora.targets is {', '.join(lora['targets'])}, but no layer of the "
                f"{type(network).__name__} has a name that ends with one of these"
            ) from error


def save(
    folder: str | Path, network: torch.nn.Module, prefix: str, lora: Mapping[str, Any]
) -> None:
    """Write the adapter, see ``checkpoints.write_folder``.

    Args:
        folder: Folder to write.
        network: The network with the adapter of ``add``.
        prefix: Name of the network in its pipeline, such as "unet".
        lora: rank, alpha, targets.
    """
    form = {"r": lora["rank"], "lora_alpha": lora["alpha"], "target_modules": lora["targets"]}
    packed = json.dumps({f"{prefix}.{key}": value for key, value in form.items()}, sort_keys=True)
    weights = convert_state_dict_to_diffusers(get_peft_model_state_dict(network))
    weights = {f"{prefix}.{key}": value.contiguous().cpu() for key, value in weights.items()}

    def write(place: Path) -> None:
        # one key, because safetensors writes several keys in no fixed order
        save_file(weights, place / FILES[0], {"lora_adapter_metadata": packed})

    checkpoints.write_folder(folder, FILES, write)


def load(
    network: torch.nn.Module, folder: str | Path, prefix: str, name: str = _ADAPTER
) -> torch.nn.Module:
    """Add the adapter of a folder to a frozen network.

    Raises:
        UserError: If the file is missing or damaged.
    """
    with checkpoints.reading(folder, FILES) as place:
        network.load_lora_adapter(
            str(place),
            prefix=prefix,
            adapter_name=name,
            weight_name=FILES[-1],
            use_safetensors=True,
        )
        if name not in getattr(network, "peft_config", {}):
            raise ValueError(f"it has no weights of a {prefix}")
    checkpoints.check_finite(network, place / FILES[-1])
    return network


def only_adapter(network: torch.nn.Module) -> torch.nn.Module:
    """The network of a pipeline in memory, if it has one adapter.

    Raises:
        UserError: If it has none or several.
    """
    names = list(getattr(network, "peft_config", {}))
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise UserError(
            f"the {type(network).__name__} of the pipeline has {len(names)} adapters ({listed}), "
            "expected one, whose weights are attributed; load it by pipeline.load_lora_weights, "
            "and drop others by pipeline.delete_adapters"
        )
    return network


def load_members(
    network: torch.nn.Module,
    folders: Sequence[str | Path],
    prefix: str,
    device: torch.device | str,
) -> list[Member]:
    """Several adapters of one network, in evaluation mode on ``device``."""
    names = [f"member_{k}" for k in range(len(folders))]
    for folder, name in zip(folders, names, strict=True):
        load(network, folder, prefix, name)
    network.eval().to(device)
    return [Member(network, name) for name in names]


def check_process(process: Process, diffusion: Mapping[str, Any], place: str) -> None:
    """Refuse a section ``diffusion`` that describes another process than the pretrained one.

    Raises:
        UserError: If an entry differs; it names both values.
    """
    for key, value in ({"process": "ddpm"} | process.settings).items():
        if key not in _RECIPE and diffusion.get(key, value) != value:
            raise UserError(
                f"diffusion.{key} is {diffusion[key]}, but {place} was trained with {value}; "
                "write that"
            )
