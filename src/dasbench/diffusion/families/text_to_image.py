"""Text-to-image models: a frozen Stable Diffusion pipeline and a LoRA adapter of its UNet.

The pipeline is ``model.pretrained``. Only the adapter is trained and stored, in the format of
``StableDiffusionPipeline.load_lora_weights``. A prompt is a row of a table of embeddings. The last
row is the empty prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from dasbench.diffusion import process as processes
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import foreign_lora, lora, pretrained
from dasbench.diffusion.families.autoencoder import decode, encode, encoder
from dasbench.diffusion.families.lora import Member
from dasbench.diffusion.process import Process
from dasbench.errors import UserError, first_line

__all__ = ["FILES", "MEMBER_FILES", "decode", "embed", "encode", "encoder"]

FILES = lora.FILES
MEMBER_FILES = FILES
PRETRAINED = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_PREFIX = "unet"


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
    lora.check_process(process, diffusion, model["pretrained"])
    unet = _frozen(model)
    lora.add(unet, model["lora"], axes)
    return unet, process.trained_with(diffusion)


def save(
    folder: str | Path,
    unet: UNet2DConditionModel,
    process: Process,
    model: Mapping[str, Any],
) -> None:
    """Write the adapter, see ``lora.save``."""
    lora.save(folder, unet, _PREFIX, model["lora"])


save_member = save


def load(
    folder: str | Path, device: torch.device | str, model: Mapping[str, Any]
) -> tuple[UNet2DConditionModel, Process]:
    """The frozen UNet with the adapter of a folder, in evaluation mode.

    Raises:
        UserError: If a file is missing or damaged, or the pipeline is not on this machine.
    """
    unet = _frozen(model)
    lora.load(unet, folder, _PREFIX)
    return unet.eval().to(device), _process(model)


def adapted(
    model: Mapping[str, Any], adapter: str | Path, device: torch.device | str
) -> tuple[UNet2DConditionModel, Process]:
    """The frozen UNet with an adapter that another tool trained; see ``foreign_lora.load``."""
    unet = foreign_lora.load(_frozen(model), adapter, StableDiffusionPipeline, _PREFIX)
    return unet.eval().to(device), _process(model)


def in_memory(pipeline: StableDiffusionPipeline) -> tuple[Any, Process, Any, Callable]:
    """Its UNet, process, autoencoder and text encoder; see ``dasbench.diffusion.families``."""
    unet = lora.only_adapter(pipeline.unet)
    embed = functools.partial(_embed, pipeline.tokenizer, pipeline.text_encoder)
    return unet, processes.of(pipeline.scheduler), pipeline.vae, embed


def load_members(
    folders: Sequence[str | Path], device: torch.device | str, model: Mapping[str, Any]
) -> tuple[list[Member], Process]:
    """Several adapters of one UNet."""
    return lora.load_members(_frozen(model), folders, _PREFIX, device), _process(model)


def condition(model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray) -> Condition:
    """The prompts of examples: each label is the row number of its prompt.

    Args:
        model: The section ``model`` of the experiment.
        labels: [n] int64.
        prompts: [K + 1, S, d] float32 embeddings, the empty prompt last.
    """
    table = torch.from_numpy(prompts)
    return Condition("encoder_hidden_states", torch.from_numpy(labels), table, len(prompts) - 1)


def embed(
    model: Mapping[str, Any], texts: Sequence[str], device: torch.device | str = "cpu"
) -> np.ndarray:
    """Embeddings [K, S, d] float32 of prompts, as StableDiffusionPipeline makes them."""
    return embedder(model, device)(texts)


def embedder(
    model: Mapping[str, Any], device: torch.device | str = "cpu"
) -> Callable[[Sequence[str]], np.ndarray]:
    """``embed`` of one text encoder, which is read once."""
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
    return functools.partial(_embed, tokenizer, encoder.float().eval().to(device))


@torch.no_grad()
def _embed(tokenizer: Any, encoder: torch.nn.Module, texts: Sequence[str]) -> np.ndarray:
    tokens = tokenizer(
        list(texts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    device = next(encoder.parameters()).device
    masked = getattr(encoder.config, "use_attention_mask", False)
    mask = tokens.attention_mask.to(device) if masked else None
    return encoder(tokens.input_ids.to(device), attention_mask=mask)[0].float().cpu().numpy()


def _frozen(model: Mapping[str, Any]) -> UNet2DConditionModel:
    return pretrained.load(UNet2DConditionModel, model, "unet")


def _process(model: Mapping[str, Any]) -> Process:
    """The process of the pipeline. Latents are not bounded, so sampling never clips."""
    return processes.load(pretrained.part(model, "scheduler"), clip_sample=False)
