"""Adapters (LoRA) of Stable Diffusion XL, Stable Diffusion 3 and FLUX pipelines.

``model.pretrained`` is the folder of a pipeline of diffusers, which stays frozen; its
``model_index.json`` names its class, a row of ``PIPELINES``. Only the adapter is trained and
stored, in the format of the pipeline's ``load_lora_weights``.

A prompt is one array [S + 1, d]: the embeddings of its S tokens, and in the last row the pooled
embedding, followed by zeros.

Shapes: n images, c channels and h x w places of the latents, S tokens, d numbers each.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from torch import nn

from dasbench.diffusion import process as processes
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import autoencoder, foreign_lora, lora, pretrained
from dasbench.diffusion.families.lora import Member
from dasbench.diffusion.process import Process
from dasbench.errors import UserError, first_line

__all__ = ["FILES", "MEMBER_FILES", "decode", "embed", "encode", "encoder"]

FILES = lora.FILES
MEMBER_FILES = FILES
PRETRAINED = ("vae", "scheduler")
_GUIDANCE = 3.5  # of FLUX models that embed it, as in diffusers' training script


class Inputs(NamedTuple):
    """What a network of a pipeline reads.

    Attributes:
        network: The network of diffusers.
        x: [n, c, h, w] noised latents.
        time: [n].
        words: [n, S, d].
        pooled: [n, p].
        scale: Pixels along the side of one place of the latents.
    """

    network: nn.Module
    x: torch.Tensor
    time: torch.Tensor
    words: torch.Tensor
    pooled: torch.Tensor
    scale: int


def _xl(inputs: Inputs) -> torch.Tensor:
    """Stable Diffusion XL: the size of the image is a condition, without a crop."""
    height, width = (side * inputs.scale for side in inputs.x.shape[2:])
    sizes = inputs.x.new_tensor([height, width, 0, 0, height, width]).repeat(len(inputs.x), 1)
    return inputs.network(
        inputs.x,
        inputs.time,
        encoder_hidden_states=inputs.words,
        added_cond_kwargs={"text_embeds": inputs.pooled, "time_ids": sizes},
    ).sample


def _sd3(inputs: Inputs) -> torch.Tensor:
    return inputs.network(
        hidden_states=inputs.x,
        timestep=inputs.time,
        encoder_hidden_states=inputs.words,
        pooled_projections=inputs.pooled,
    ).sample


def _flux(inputs: Inputs) -> torch.Tensor:
    """FLUX: tokens of 2x2 places of the latents, with their row and column."""
    n, c, h, w = inputs.x.shape
    squares = inputs.x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    rows, columns = torch.meshgrid(torch.arange(h // 2), torch.arange(w // 2), indexing="ij")
    places = torch.stack([torch.zeros_like(rows), rows, columns], 2).view(-1, 3)
    guided = inputs.network.config.guidance_embeds
    out = inputs.network(
        hidden_states=squares.reshape(n, h * w // 4, 4 * c),
        timestep=inputs.time,
        guidance=inputs.x.new_full((n,), _GUIDANCE) if guided else None,
        pooled_projections=inputs.pooled,
        encoder_hidden_states=inputs.words,
        txt_ids=inputs.x.new_zeros(inputs.words.shape[1], 3),
        img_ids=places.to(inputs.x),
    ).sample
    squares = out.view(n, h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return squares.reshape(n, c, h, w)


def _encode_xl(pipeline: Any, texts: list[str], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    words, _, pooled, _ = pipeline.encode_prompt(texts, None, device, 1, False)
    if pipeline.config.force_zeros_for_empty_prompt:
        empty = torch.tensor([not text for text in texts], device=words.device)
        words, pooled = words.clone(), pooled.clone()
        words[empty], pooled[empty] = 0, 0
    return words, pooled


def _encode_sd3(pipeline: Any, texts: list[str], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    words, _, pooled, _ = pipeline.encode_prompt(
        texts, None, None, device=device, do_classifier_free_guidance=False
    )
    return words, pooled


def _encode_flux(pipeline: Any, texts: list[str], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    words, pooled, _ = pipeline.encode_prompt(texts, None, device=device)
    return words, pooled


class Row(NamedTuple):
    """A kind of pipeline.

    Attributes:
        part: Name of the adapted network in the pipeline.
        network: Its class.
        call: Calls it.
        encode: Function of (pipeline, texts, device) to (words [K, S, d], pooled [K, p]).
        convention: Name in ``flow.CONVENTIONS``; None for a DDPM.
        pooled: Key of the network's configuration with p, or with p and 6 embedded sizes.
    """

    part: str
    network: type[nn.Module]
    call: Callable[[Inputs], torch.Tensor]
    encode: Callable[[Any, list[str], Any], tuple[torch.Tensor, torch.Tensor]]
    convention: str | None
    pooled: str


PIPELINES = {
    "StableDiffusionXLPipeline": Row(
        "unet",
        diffusers.UNet2DConditionModel,
        _xl,
        _encode_xl,
        None,
        "projection_class_embeddings_input_dim",
    ),
    "StableDiffusion3Pipeline": Row(
        "transformer",
        diffusers.SD3Transformer2DModel,
        _sd3,
        _encode_sd3,
        "sd3",
        "pooled_projection_dim",
    ),
    "FluxPipeline": Row(
        "transformer",
        diffusers.FluxTransformer2DModel,
        _flux,
        _encode_flux,
        "flux",
        "pooled_projection_dim",
    ),
}


class Prompted(nn.Module):
    """The network of a pipeline, called like the other denoisers: ``(x, time, prompt=...)``."""

    def __init__(self, network: nn.Module, row: Row, scale: int):
        """Keep the network, its row, and pixels per place of the latents."""
        super().__init__()
        self.network, self.row, self.scale = network, row, scale
        self.pooled = network.config[row.pooled]
        if row.convention is None:  # this number counts the six embedded sizes, too
            self.pooled -= 6 * network.config.addition_time_embed_dim

    @property
    def config(self) -> Any:
        """Configuration of the network."""
        return self.network.config

    def forward(self, x: torch.Tensor, time: torch.Tensor, prompt: torch.Tensor) -> Any:
        """The prediction, as ``sample``; prompt is [n, S + 1, d]."""
        words, pooled = prompt[:, :-1], prompt[:, -1, : self.pooled]
        inputs = Inputs(self.network, x, time, words, pooled, self.scale)
        return SimpleNamespace(sample=self.row.call(inputs))

    def set_adapter(self, name: str) -> None:
        """Activate one of several adapters."""
        self.network.set_adapter(name)


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
) -> tuple[Prompted, Process]:
    """The frozen network with a new adapter, and the pipeline's process.

    Raises:
        UserError: If the pipeline is not on this machine or not of a known class, or
            ``diffusion`` describes another process.
    """
    process = _process(model)
    lora.check_process(process, diffusion, model["pretrained"])
    prompted = _frozen(model)
    lora.add(prompted.network, model["lora"], axes)
    return prompted, process.trained_with(diffusion)


def save(
    folder: str | Path, prompted: Prompted, process: Process, model: Mapping[str, Any]
) -> None:
    """Write the adapter, see ``lora.save``."""
    lora.save(folder, prompted.network, prompted.row.part, model["lora"])


save_member = save


def load(
    folder: str | Path, device: torch.device | str, model: Mapping[str, Any]
) -> tuple[Prompted, Process]:
    """The frozen network with the adapter of a folder, in evaluation mode."""
    prompted = _frozen(model)
    lora.load(prompted.network, folder, prompted.row.part)
    return prompted.eval().to(device), _process(model)


def adapted(
    model: Mapping[str, Any], adapter: str | Path, device: torch.device | str
) -> tuple[Prompted, Process]:
    """The frozen network with an adapter that another tool trained; see ``foreign_lora.load``."""
    name, row = _row(model)
    prompted = _frozen(model)
    foreign_lora.load(prompted.network, adapter, getattr(diffusers, name), row.part)
    return prompted.eval().to(device), _process(model)


def in_memory(pipeline: Any) -> tuple[Prompted, Process, Any, Callable]:
    """Its network, process, autoencoder and encoders; see ``dasbench.diffusion.families``."""
    row = PIPELINES[type(pipeline).__name__]
    network = lora.only_adapter(getattr(pipeline, row.part))
    prompted = Prompted(network, row, autoencoder.scale(pipeline.vae.config))
    process = processes.of(pipeline.scheduler)
    if row.convention is not None:
        process = process.of_pipeline(row.convention)
    return prompted, process, pipeline.vae, functools.partial(_embed, pipeline, row)


def load_members(
    folders: Sequence[str | Path], device: torch.device | str, model: Mapping[str, Any]
) -> tuple[list[Member], Process]:
    """Several adapters of one network."""
    prompted = _frozen(model)
    members = lora.load_members(prompted.network, folders, prompted.row.part, device)
    prompted.eval().to(device)
    return [Member(prompted, member.name) for member in members], _process(model)


def condition(model: Mapping[str, Any], labels: np.ndarray, prompts: np.ndarray) -> Condition:
    """The prompts of examples: each label is the row number of its prompt.

    Args:
        model: The section ``model`` of the experiment.
        labels: [n] int64.
        prompts: [K + 1, S + 1, d] float32 embeddings, the empty prompt last.
    """
    table = torch.from_numpy(prompts)
    return Condition("prompt", torch.from_numpy(labels), table, len(prompts) - 1)


def embed(
    model: Mapping[str, Any], texts: Sequence[str], device: torch.device | str = "cpu"
) -> np.ndarray:
    """Embeddings [K, S + 1, d] float32 of prompts, see ``embedder``."""
    return embedder(model, device)(texts)


def embedder(
    model: Mapping[str, Any], device: torch.device | str = "cpu"
) -> Callable[[Sequence[str]], np.ndarray]:
    """``embed`` of the pipeline's own encoders, which are read once.

    Raises:
        UserError: If the encoders cannot be read from safetensors.
    """
    name, row = _row(model)
    place = pretrained.folder(model)
    try:
        pipeline = getattr(diffusers, name).from_pretrained(
            place,
            vae=None,
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=torch.float32,
            **{row.part: None},
        )
    # a damaged file makes the libraries raise anything from OSError to TypeError
    except Exception as error:
        raise UserError(
            f"the text encoders or tokenizers of {place} cannot be read ({first_line(error)}); "
            f"fetch {model['pretrained']} again, with weights in safetensors"
        ) from error
    return functools.partial(_embed, pipeline.to(device), row)


@torch.no_grad()
def _embed(pipeline: Any, row: Row, texts: Sequence[str]) -> np.ndarray:
    words, pooled = row.encode(pipeline, list(texts), pipeline.device)
    last = words.new_zeros(len(words), 1, words.shape[2])
    last[:, 0, : pooled.shape[1]] = pooled
    return torch.cat([words, last], 1).float().cpu().numpy()


def encoder(model: Mapping[str, Any], device: torch.device | str = "cpu") -> autoencoder.Encoder:
    """See ``autoencoder.encoder``; latents are shifted as the pipeline shifts them."""
    return autoencoder.encoder(model, device, shifts=True)


def encode(
    model: Mapping[str, Any], images: np.ndarray, device: torch.device | str = "cpu"
) -> np.ndarray:
    """Latents of images, see ``autoencoder.encode``; shifted as the pipeline shifts them."""
    return autoencoder.encode(model, images, device, shifts=True)


def decode(
    model: Mapping[str, Any], latents: np.ndarray, device: torch.device | str = "cpu"
) -> np.ndarray:
    """Images of latents, see ``autoencoder.decode``."""
    return autoencoder.decode(model, latents, device, shifts=True)


def _row(model: Mapping[str, Any]) -> tuple[str, Row]:
    """Class and row of the pipeline."""
    index = pretrained.folder(model) / "model_index.json"
    try:
        name = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{index} is missing or names no class; name the folder of a diffusers pipeline in "
            "model.pretrained"
        ) from error
    if name not in PIPELINES:
        raise UserError(
            f"model.pretrained is a {name}, expected one of {', '.join(PIPELINES)}; for Stable "
            "Diffusion 1 and 2 take family: text_to_image"
        )
    return name, PIPELINES[name]


def _frozen(model: Mapping[str, Any]) -> Prompted:
    _, row = _row(model)
    network = pretrained.load(row.network, model, row.part)
    return Prompted(network, row, autoencoder.scale(autoencoder.config_of(model)))


def _process(model: Mapping[str, Any]) -> Process:
    """The process of the pipeline. Latents are not bounded, so sampling never clips."""
    _, row = _row(model)
    place = pretrained.part(model, "scheduler")
    if row.convention is None:
        return processes.load(place, images=False, clip_sample=False)
    return processes.load(place, images=False).of_pipeline(row.convention)
