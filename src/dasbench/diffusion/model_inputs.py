"""The model of an experiment: its family, and the inputs of its network.

A family of images reads the inputs from ``examples/*.npz`` and ``queries/*.npy``. A family of
latents reads them from ``latents/*.npy`` and ``queries/*_latents.npy``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from dasbench.core import artifacts
from dasbench.core.query_kinds import present
from dasbench.diffusion import checkpoints, denoiser
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process

_IMAGES = (None, None, None, None)
Shape = tuple[int, int, int]


def family(name: str) -> ModuleType:
    """The module of a family of models: the file of this name in ``families/``."""
    return importlib.import_module(f"{__package__}.families.{name}")


class Data(NamedTuple):
    """A training set, as inputs of a network.

    Attributes:
        x: [N, C, H, W] float32, images in [-1, 1] or latents.
        mirrored: [N, C, H, W], the mirrored images or their latents; None if x flipped along its
            last axis has the same values.
        condition: Condition of the N examples, or None.
    """

    x: torch.Tensor
    mirrored: torch.Tensor | None = None
    condition: Condition | None = None

    def to(self, device: torch.device) -> Data:
        """A copy on a device."""
        x = self.x.to(device)
        mirrored = None if self.mirrored is None else self.mirrored.to(device)
        return Data(x, mirrored, None if self.condition is None else self.condition.to(x))


class Split(NamedTuple):
    """The inputs of features: the training examples, or the queries of one kind.

    Attributes:
        images: [n, C, H, W] float32, inputs of the network.
        keys: [n] int64, numbers that key the noise of the images.
        condition: Condition of the n images, or None.
    """

    images: np.ndarray
    keys: np.ndarray
    condition: Condition | None


class Model:
    """A family with the settings of an experiment, and the files that its networks need.

    Args:
        settings: Settings of a script: family (its name), model (the section of the
            experiment); diffusion for ``build``; training for ``training_set``.
        device: Device of the networks.
        latents: Folder of the latents; None for models of images.
        prompts: File with the embeddings of the prompts; None for models without prompts.

    Attributes:
        family: The module, see ``dasbench.diffusion.families``.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        device: torch.device | str,
        latents: Path | None = None,
        prompts: Path | None = None,
    ):
        """Import the family; methods read the files."""
        self.settings, self.device, self.latents = settings, device, latents
        self.family = family(settings["family"])
        self._section, self._prompts = settings["model"], prompts

    def build(self, shape: Shape, axes: Sequence[str | int]) -> tuple[torch.nn.Module, Process]:
        """A new network for images or latents of shape (C, H, W), and its process.

        Args:
            shape: (C, H, W).
            axes: Seed axes of the initial weights.
        """
        return self.family.build(self._section, self.settings["diffusion"], shape, axes)

    def load(self, folder: str | Path) -> tuple[torch.nn.Module, Process]:
        """The network of a folder, in evaluation mode, and its process."""
        return self.family.load(folder, self.device, self._section)

    def load_members(self, folders: Sequence[Path]) -> tuple[list[torch.nn.Module], Process]:
        """The networks of several folders, and the process that they share."""
        return self.family.load_members(folders, self.device, self._section)

    def save(self, folder: str | Path, network: torch.nn.Module, process: Process) -> None:
        """Write a base model's folder."""
        self.family.save(folder, network, process, self._section)

    def save_member(self, folder: str | Path, network: torch.nn.Module, process: Process) -> None:
        """Write the folder of a subset model, a checkpoint or a removal model."""
        self.family.save_member(folder, network, process, self._section)

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Latents of images in [-1, 1]; for families of latents."""
        return self.family.encode(self._section, images, self.device)

    def decode(self, samples: np.ndarray) -> np.ndarray:
        """Images [n, C, H, W] in [-1, 1] of samples of the network, which are images or latents."""
        if self.latents is None:
            return samples
        return self.family.decode(self._section, samples, self.device)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of prompts; for families with prompts."""
        return self.family.embed(self._section, texts, self.device)

    def condition(self, labels: np.ndarray) -> Condition | None:
        """The condition of images with these labels [n], or None."""
        return self.family.condition(self._section, labels, self._table)

    @functools.cached_property
    def _table(self) -> np.ndarray | None:
        """Embeddings of the prompts [K + 1, S, d], the empty one last."""
        if self._prompts is None:
            return None
        return artifacts.load_array(self._prompts, (None, None, None), np.float32)

    def images(self, examples: artifacts.Examples) -> np.ndarray:
        """The training examples as inputs of the network, [N, C, H, W] float32."""
        if self.latents is None:
            return denoiser.to_model(examples.images)
        shape = (len(examples.ids), None, None, None)
        return artifacts.load_array(self.latents / "train.npy", shape, np.float32)

    def training_set(self, path: str | Path) -> tuple[artifacts.Examples, Data]:
        """The training examples, and the same examples as inputs of a network.

        Args:
            path: examples/train.npz.

        Raises:
            UserError: If a file is missing or damaged, or does not match the other files.
        """
        examples = artifacts.load_examples(path)
        x, mirrored = self.images(examples), None
        if self.latents is not None and self.settings["training"]["flip"]:
            latents = artifacts.load_array(self.latents / "train-mirrored.npy", x.shape, np.float32)
            mirrored = torch.from_numpy(latents)
        return examples, Data(torch.from_numpy(x), mirrored, self.condition(examples.labels))

    def queries(self, folder: Path, kind: str) -> tuple[np.ndarray, Condition | None]:
        """Queries of a kind as inputs of the network, [Q, C, H, W] float32, and their condition.

        Args:
            folder: Folder of the queries.
            kind: "val" or "gen".
        """
        name = kind if self.latents is None else f"{kind}_latents"
        images = artifacts.load_array(folder / f"{name}.npy", _IMAGES, np.float32)
        labels = artifacts.load_array(folder / f"{kind}_labels.npy", (len(images),), np.int64)
        return images, self.condition(labels)

    def splits(
        self, examples: artifacts.Examples, queries: Path, by_position: bool
    ) -> dict[str, Split]:
        """The training examples ("train") and the queries of every kind that there is.

        Args:
            examples: The training examples.
            queries: Folder of the queries.
            by_position: Key the noise of the examples by their positions, as the noise policy
                "batch" needs it; otherwise by their ids.
        """
        keys = np.arange(len(examples.ids)) if by_position else examples.ids
        splits = {"train": Split(self.images(examples), keys, self.condition(examples.labels))}
        for kind in present(queries):
            images, condition = self.queries(queries, kind)
            splits[kind] = Split(images, np.arange(len(images)), condition)
        return splits


def open(
    settings: Mapping[str, Any],
    threads: int,
    latents: Path | None = None,
    prompts: Path | None = None,
    device: torch.device | str | None = None,
) -> Model:
    """Open the model of an experiment. Every script that runs a network calls this first.

    Args:
        settings: See ``Model``.
        threads: CPU threads of this job.
        latents: See ``Model``.
        prompts: See ``Model``.
        device: Device of the networks; None for the device of this job.
    """
    checkpoints.use_threads(threads)
    return Model(settings, device or checkpoints.pick_device(), latents, prompts)
