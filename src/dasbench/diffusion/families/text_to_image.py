"""Text-to-image models: a frozen Stable Diffusion pipeline and a LoRA adapter of its UNet.

The pipeline is ``model.pretrained``. Only the adapter is trained and stored, in the format of
``StableDiffusionPipeline.load_lora_weights``. A prompt is a row of a table of embeddings. The last
row is the empty prompt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from dasbench.diffusion import checkpoints
from dasbench.diffusion import process as processes
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import pretrained
from dasbench.diffusion.families.autoencoder import decode, encode
from dasbench.diffusion.process import Process
from dasbench.errors import UserError, first_line

__all__ = ["FILES", "MEMBER_FILES", "decode", "embed", "encode"]

FILES = ("pytorch_lora_weights.safetensors",)
MEMBER_FILES = FILES
PRETRAINED = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_ADAPTER = "default"  # part of the parameters' names, which key the projection


class Member:
    """One of several adapters of one network; a call activates the adapter first."""

    def __init__(self, network: UNet2DConditionModel, name: str):
        """Keep the network and the name of the adapter."""
        self.network, self.name = network, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """The network's forward pass with this adapter."""
        self.network.set_adapter(self.name)
        return self.network(*args, **keywords)

    def parameters(self) -> Any:
        """Parameters of the network, which carry device and dtype."""
        return self.network.parameters()


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
) -> tuple[UNet2DConditionModel, Process]:
    """The frozen UNet with a new adapter, and the pipeline's process.

    Raises:
        UserError: If the pipeline is not on this machine, or ``diffusion`` describes another one.
    """
    process = _process(model)
    for key, value in process.settings.items():
        if diffusion.get(key, value) != value:
            raise UserError(
                f"diffusion.{key} is {diffusion[key]}, but {model['pretrained']} was trained with "
                f"{value}; write that"
            )
    unet = _frozen(model)
    lora = model["lora"]
    with checkpoints.initial_weights(axes):
        unet.add_adapter(
            LoraConfig(
                r=lora["rank"],
                lora_alpha=lora["alpha"],
                target_modules=list(lora["targets"]),
                init_lora_weights="gaussian",
            ),
            _ADAPTER,
        )
    return unet, process


def save(
    folder: str | Path,
    unet: UNet2DConditionModel,
    process: Process,
    model: Mapping[str, Any],
) -> None:
    """Write the adapter, see ``checkpoints.write_folder``."""
    lora = model["lora"]
    form = {"r": lora["rank"], "lora_alpha": lora["alpha"], "target_modules": lora["targets"]}
    packed = json.dumps({f"unet.{key}": value for key, value in form.items()}, sort_keys=True)
    # one key, because safetensors writes several keys in no fixed order
    metadata = {"lora_adapter_metadata": packed}

    def write(place: Path) -> None:
        StableDiffusionPipeline.save_lora_weights(
            place,
            unet_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(unet)),
            save_function=lambda weights, file: save_file(weights, file, metadata),
        )

    checkpoints.write_folder(folder, FILES, write)


save_member = save


def load(
    folder: str | Path, device: torch.device | str, model: Mapping[str, Any]
) -> tuple[UNet2DConditionModel, Process]:
    """The frozen UNet with the adapter of a folder, in evaluation mode.

    Raises:
        UserError: If a file is missing or damaged, or the pipeline is not on this machine.
    """
    unet = _frozen(model)
    _adapt(unet, folder, _ADAPTER)
    return unet.eval().to(device), _process(model)


def load_members(
    folders: Sequence[str | Path], device: torch.device | str, model: Mapping[str, Any]
) -> tuple[list[Member], Process]:
    """Several adapters of one UNet."""
    unet, names = _frozen(model), [f"member_{k}" for k in range(len(folders))]
    for folder, name in zip(folders, names, strict=True):
        _adapt(unet, folder, name)
    unet.eval().to(device)
    return [Member(unet, name) for name in names], _process(model)


def condition(model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray) -> Condition:
    """The prompts of examples: each label is the row number of its prompt.

    Args:
        model: The section ``model`` of the experiment.
        labels: [n] int64.
        prompts: [K + 1, S, d] float32 embeddings, the empty prompt last.
    """
    table = torch.from_numpy(prompts)
    return Condition("encoder_hidden_states", torch.from_numpy(labels), table, len(prompts) - 1)


@torch.no_grad()
def embed(
    model: Mapping[str, Any], texts: Sequence[str], device: torch.device | str = "cpu"
) -> np.ndarray:
    """Embeddings [K, S, d] float32 of prompts, as StableDiffusionPipeline makes them."""
    from transformers import CLIPTextModel, CLIPTokenizer

    place = pretrained.part(model, "text_encoder")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(
            pretrained.folder(model) / "tokenizer", local_files_only=True
        )
        encoder = CLIPTextModel.from_pretrained(place, use_safetensors=True, local_files_only=True)
    # a damaged file makes the libraries raise anything from OSError to TypeError
    except Exception as error:
        raise UserError(
            f"{place} or the tokenizer beside it cannot be read ({first_line(error)}); fetch "
            f"{model['pretrained']} again, with weights in safetensors"
        ) from error
    tokens = tokenizer(
        list(texts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    masked = getattr(encoder.config, "use_attention_mask", False)
    mask = tokens.attention_mask.to(device) if masked else None
    encoder = encoder.float().eval().to(device)
    return encoder(tokens.input_ids.to(device), attention_mask=mask)[0].cpu().numpy()


def _frozen(model: Mapping[str, Any]) -> UNet2DConditionModel:
    place = pretrained.part(model, "unet")
    try:
        unet, info = UNet2DConditionModel.from_pretrained(
            place,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
        if info["missing_keys"] or info["unexpected_keys"]:
            raise ValueError("its weights are not those of its config.json")
    # a damaged file makes diffusers raise anything from OSError to TypeError
    except Exception as error:
        raise UserError(
            f"{place} holds no UNet2DConditionModel in safetensors ({first_line(error)}); fetch "
            f"{model['pretrained']} again"
        ) from error
    return unet.float().requires_grad_(False)


def _adapt(unet: UNet2DConditionModel, folder: str | Path, name: str) -> None:
    with checkpoints.reading(folder, FILES) as place:
        unet.load_lora_adapter(
            str(place),
            prefix="unet",
            adapter_name=name,
            weight_name=FILES[-1],
            use_safetensors=True,
        )
    checkpoints.check_finite(unet, place / FILES[-1])


def _process(model: Mapping[str, Any]) -> Process:
    """The process of the pipeline. Latents are not bounded, so sampling never clips."""
    return processes.load(pretrained.part(model, "scheduler"), clip_sample=False)
