"""What scripts that run a model read: its family, and images as the model sees them.

A model of pixels sees the images of ``examples/*.npz`` and ``queries/*.npy``. A model of latents
sees ``latents/*.npy`` and ``queries/*_latents.npy`` in their place, which one rule makes for all.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from dasbench.core import artifacts
from dasbench.diffusion import denoiser
from dasbench.diffusion.conditions import Condition

_IMAGES = (None, None, None, None)


class Data(NamedTuple):
    """A training set as a model sees it.

    Attributes:
        x: [N, C, H, W] float32, images in [-1, 1] or latents.
        mirrored: [N, C, H, W], the same of the mirrored images; None: x read from right to left.
        condition: Of the N examples, or None.
    """

    x: torch.Tensor
    mirrored: torch.Tensor | None = None
    condition: Condition | None = None

    def to(self, device: torch.device) -> Data:
        """A copy elsewhere."""
        x = self.x.to(device)
        mirrored = None if self.mirrored is None else self.mirrored.to(device)
        return Data(x, mirrored, None if self.condition is None else self.condition.to(x))


def family(settings: Mapping[str, Any]) -> ModuleType:
    """The module of the model's family, by its name: a file in ``families/``."""
    return importlib.import_module(f"{__package__}.families.{settings['family']}")


def prompts(args: argparse.Namespace) -> np.ndarray | None:
    """Embeddings of the prompts [K + 1, S, d], the empty one last; None where there are none."""
    if args.prompts is None:
        return None
    return artifacts.load_array(args.prompts, (None, None, None), np.float32)


def training(
    path: str | Path, args: argparse.Namespace
) -> tuple[ModuleType, artifacts.Examples, Data]:
    """A training script's family, examples, and what is trained on.

    Args:
        path: examples/train.npz.
        args: Of ``command.model_parser``.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the others.
    """
    settings, train = args.settings, artifacts.load_examples(path)
    module = family(settings)
    x, mirrored = examples(train, args), None
    if args.latents is not None and settings["training"]["flip"]:
        other = artifacts.load_array(args.latents / "train-mirrored.npy", x.shape, np.float32)
        mirrored = torch.from_numpy(other)
    told = module.condition(settings["model"], train.labels, prompts(args))
    return module, train, Data(torch.from_numpy(x), mirrored, told)


def examples(train: artifacts.Examples, args: argparse.Namespace) -> np.ndarray:
    """The training examples as the model sees them, [N, C, H, W] float32."""
    if args.latents is None:
        return denoiser.to_model(train.images)
    shape = (len(train.ids), None, None, None)
    return artifacts.load_array(args.latents / "train.npy", shape, np.float32)


def queries(
    folder: Path, kind: str, args: argparse.Namespace
) -> tuple[np.ndarray, Condition | None]:
    """Queries of a kind as the model sees them, [Q, C, H, W] float32, and their condition."""
    name = kind if args.latents is None else f"{kind}_latents"
    seen = artifacts.load_array(folder / f"{name}.npy", _IMAGES, np.float32)
    labels = artifacts.load_array(folder / f"{kind}_labels.npy", (len(seen),), np.int64)
    module = family(args.settings)
    return seen, module.condition(args.settings["model"], labels, prompts(args))
