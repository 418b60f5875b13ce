"""The DiTTransformer2DModel of diffusers, which models of pixels and of latents share.

Diffusers' class always reads a class label, and drops a tenth of the labels in training. Here a
model without classes has one class, which every image has, and no label is dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.loaders import PeftAdapterMixin
from torch import nn

from dasbench.diffusion import checkpoints
from dasbench.diffusion import process as processes
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import unet2d
from dasbench.diffusion.process import Process

FILES = (
    "scheduler/scheduler_config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
)


class DiTTransformer2DModel(diffusers.DiTTransformer2DModel, PeftAdapterMixin):
    """The transformer of diffusers; the name is the same because its folder states the name."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor | None = None,
        class_labels: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        """As in diffusers; labels may be left out if there is one class.

        Raises:
            ValueError: If a model with several classes gets no labels.
        """
        if class_labels is None:
            if self.config.num_embeds_ada_norm != 1:
                raise ValueError(
                    f"a model of {self.config.num_embeds_ada_norm} classes needs labels"
                )
            class_labels = timestep.new_zeros(len(hidden_states), dtype=torch.long)
        return super().forward(hidden_states, timestep, class_labels, **options)

    def plain(self) -> diffusers.DiTTransformer2DModel:
        """The same network, sharing its weights, as diffusers' own class."""
        network = copy.copy(self)
        network.__class__ = diffusers.DiTTransformer2DModel
        return network


def called_without_labels(network: diffusers.DiTTransformer2DModel) -> DiTTransformer2DModel:
    """The same network, sharing its weights, as the class of this module."""
    ours = copy.copy(network)
    ours.__class__ = DiTTransformer2DModel
    return ours


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
    bounded: bool = True,
) -> tuple[DiTTransformer2DModel, Process]:
    """A new denoiser and its process, see ``unet2d.build``.

    Args:
        model: num_layers, num_attention_heads, attention_head_dim, patch_size; optional:
            num_class_embeds, dropout.
        diffusion: See ``process.build``.
        shape: (C, H, W) of the images or latents; H = W.
        axes: Seed axes of this model; its weights are drawn from the stream "init".
        bounded: Whether the model denoises images in [-1, 1].
    """
    return untrained(model, shape, axes), processes.build(diffusion, bounded)


def untrained(
    model: Mapping[str, Any], shape: tuple[int, int, int], axes: Sequence[str | int]
) -> DiTTransformer2DModel:
    """The denoiser of ``build``, without a process."""
    options = {k: v for k, v in model.items() if k not in (*unet2d.OURS, "num_class_embeds")}
    with checkpoints.initial_weights(axes):
        network = DiTTransformer2DModel(
            in_channels=shape[0],
            out_channels=shape[0],
            sample_size=shape[1],
            num_embeds_ada_norm=model.get("num_class_embeds") or 1,
            **options,
        )
        _initialise(network)
    return _without_label_dropout(network)


def _initialise(network: DiTTransformer2DModel) -> None:
    """Start as the identity: modulations and the output are zero.

    Source: adaLN-Zero of Peebles and Xie (2022), arXiv 2212.09748; diffusers' class does not do it.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    patches = network.pos_embed.proj
    nn.init.xavier_uniform_(patches.weight.view(len(patches.weight), -1))
    nn.init.zeros_(patches.bias)
    for block in network.transformer_blocks:
        nn.init.normal_(block.norm1.emb.class_embedder.embedding_table.weight, std=0.02)
        nn.init.normal_(block.norm1.emb.timestep_embedder.linear_1.weight, std=0.02)
        nn.init.normal_(block.norm1.emb.timestep_embedder.linear_2.weight, std=0.02)
        nn.init.zeros_(block.norm1.linear.weight)
    nn.init.zeros_(network.proj_out_1.weight)
    nn.init.zeros_(network.proj_out_2.weight)


def _without_label_dropout(network: DiTTransformer2DModel) -> DiTTransformer2DModel:
    for block in network.transformer_blocks:
        block.norm1.emb.class_embedder.dropout_prob = 0.0
    return network


def write(place: Path, network: DiTTransformer2DModel, process: Process) -> None:
    """Write the files of ``FILES``."""
    network.plain().save_pretrained(place / "transformer")
    process.scheduler.save_pretrained(place / "scheduler")


def load(
    folder: str | Path,
    device: torch.device | str = "cpu",
    files: Sequence[str] = FILES,
    bounded: bool = True,
) -> tuple[DiTTransformer2DModel, Process]:
    """Read the transformer and the process of a folder. Only JSON and safetensors are opened.

    Args:
        folder: Folder of a base model or a member.
        device: Device of the transformer.
        files: Paths of the needed files, relative to the folder; the weights come last.
        bounded: Whether the model denoises images in [-1, 1].

    Raises:
        UserError: If a file is missing or damaged.
    """
    network, process = checkpoints.read_model(
        DiTTransformer2DModel, folder, "transformer", files, bounded
    )
    return _without_label_dropout(network).eval().to(device), process


def condition(model: Mapping[str, Any], labels: np.ndarray) -> Condition | None:
    """The classes of examples as a condition; None for unconditional models."""
    return unet2d.condition(model, labels)
