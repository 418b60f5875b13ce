"""The model behind an index: its network, what the network takes, and a hash of its weights."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.commands import attributed_model, index_images
from dasbench.commands.index_images import Images
from dasbench.data.pictures import listed
from dasbench.errors import UserError


def use_cores() -> None:
    """Compute with torch's own number of CPU threads: ``OMP_NUM_THREADS``, or all cores."""
    import torch

    from dasbench.diffusion import checkpoints

    checkpoints.use_threads(torch.get_num_threads())


@dataclass(frozen=True)
class Subject:
    """A model as an index uses it.

    Attributes:
        network: The denoiser, checked.
        process: Its process.
        shape: (C, H, W) of the pictures.
        opened: The model as it was read, a ``dasbench.diffusion.opened.Opened``.
        place: Folder that the model was read from, or None.
        options: The options that the user gave with it: scheduler, lora, size.
        tried: Engines of features whose layers have been tried, by their settings.
    """

    network: Any
    process: Any
    shape: tuple[int, int, int]
    opened: Any
    place: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tried: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all weights, the kinds of the network and its frozen parts, and the process.

        The frozen parts of a folder are hashed as files, those of a pipeline in memory as weights.
        """
        from dasbench.diffusion import opened

        process = {"settings": self.process.settings, "training": self.process.training}
        about = [type(self.network).__name__, type(self.process).__name__, process]
        parts = {"network": opened.digest(self.network), "frozen": dict(self.opened.frozen())}
        text = json.dumps([about, parts], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """The model in words."""
        kind = f"{self.opened.kind}, {type(self.process).__name__} process"
        return f"{self.place} ({kind})" if self.place else kind

    @property
    def about(self) -> dict[str, Any]:
        """What ``index.json`` says about the model, with which ``of`` opens it again."""
        place = self.place and str(self.place)
        takes = {"takes": self.takes, "latents": self.encoder is not None}
        return {"name": self.name, "digest": self.digest, "place": place, **takes, **self.options}

    @property
    def takes(self) -> str | None:
        """The condition of the network: "prompts", "classes", or None."""
        return self.opened.takes

    @property
    def classes(self) -> int | None:
        """Number of classes that the network takes; None if it takes none."""
        return self.opened.classes

    @property
    def encoder(self) -> Callable[[], Callable[[np.ndarray], np.ndarray]] | None:
        """Makes the function of pictures in [-1, 1] to latents; None for a model of pixels."""
        return self.opened.encoder

    @property
    def parameters(self) -> str | None:
        """The subset of parameters that an adapter is; None for other models."""
        return "lora" if self.opened.adapter else None

    def read(  # noqa: PLR0913 - the last two have defaults that few change
        self,
        images: Any,
        what: str,
        labels: Any = None,
        prompts: Any = None,
        reading: Mapping[str, Any] | None = None,
        skip_bad: bool = False,
    ) -> Images:
        """Images with the classes or prompts that the network takes; see ``index_images.read``.

        Raises:
            UserError: If classes were given to a network with prompts, or prompts to another one;
                and as ``index_images.read``.
        """
        word = "prompt" if self.takes == "prompts" else "label"
        given = self.captions(labels, prompts)
        return index_images.read(images, self.shape, what, given, reading, skip_bad, word)

    def condition(self, numbers: np.ndarray | None, table: np.ndarray | None = None) -> Any:
        """The condition of n images; None for a network without.

        Args:
            numbers: [n] int64, their classes, or the rows of their prompts in the table.
            table: [K + 1, S, d] embeddings of prompts, that of the empty prompt last.
        """
        return None if numbers is None else self.opened.condition(numbers, table)

    def captions(self, labels: Any, prompts: Any) -> Any:
        """The given classes or prompts, whichever the network takes.

        Raises:
            UserError: If the other of them was given.
        """
        if prompts is not None and self.takes != "prompts":
            instead = "give labels" if self.takes else "leave them out"
            raise UserError(f"prompts were given, but the model takes none; {instead}")
        if labels is not None and self.takes == "prompts":
            raise UserError("labels were given, but the model takes prompts; give prompts")
        return labels if prompts is None else prompts

    def texts(self, prompts: Sequence[Any] | None) -> list[str]:
        """Prompts of images.

        Raises:
            UserError: If there are none, or one is no text.
        """
        if prompts is None or any(text is None for text in prompts):
            raise UserError(
                "the model takes prompts, and images without a prompt were given; give one for "
                "each (--prompts FILE.csv; --decoy-prompts FILE.csv), or one for all (--prompt)"
            )
        for text in prompts:
            if not isinstance(text, str):
                raise UserError(f"the prompt {text!r} is a {type(text).__name__}, expected a text")
        return list(prompts)

    def class_names(self, labels: Sequence[Any] | None) -> list[str] | None:
        """Names of the classes in the order of their numbers; None if labels are numbers.

        The numbers of names are those that the pipeline states (``id2label``), or places in the
        alphabet, as in folders of torchvision and datasets. The alphabet needs a name for each
        class: if some are missing, nobody knows the numbers of the others.

        Args:
            labels: Of the training images; None: there are none.

        Raises:
            UserError: If there are names, and their number is not that of the classes.
        """
        texts = {label for label in labels or () if isinstance(label, str)}
        if not self.classes or all(text.isdecimal() for text in texts):
            return None
        if self.opened.names:
            return list(self.opened.names)
        names = sorted(texts)
        if len(names) != self.classes:
            raise UserError(
                f"the names of classes among the training images are {len(names)} "
                f"({listed(names, 5)}), but the model has {self.classes} classes, so nobody knows "
                "their numbers; give the numbers as labels, or as names of the subfolders"
            )
        print(f"note: classes in the order of their numbers, from 0: {listed(names, 20)}")
        return names

    def numbers(self, labels: Sequence[Any] | None, names: Sequence[str] | None) -> Any:
        """Classes of images, [n] int64; None for a network without classes.

        Args:
            labels: Names of classes, or their numbers.
            names: Names of the classes in the order of their numbers; None if they are numbers.

        Raises:
            UserError: If there are none, or one is no class of the network.
        """
        if self.classes is None:
            return None
        if labels is None or any(label is None or label == "" for label in labels):
            raise UserError(
                "the model takes classes, and images without a class were given; put training "
                "images into one subfolder for each class, give a query its class by --label, or "
                "give labels in Python"
            )
        known = {name: place for place, name in enumerate(names or ())}
        for place, name in enumerate(self.opened.names):  # "tench, Tinca tinca": two names
            known |= {part.strip(): place for part in name.split(",") if part.strip() not in known}
        numbers = [known.get(label, _number(label)) for label in labels]
        for label, number in zip(labels, numbers, strict=True):
            if number is None or not 0 <= number < self.classes:
                these = f"one of {listed(list(known), 20)}, or " if known else ""
                raise UserError(
                    f"{label!r} is no class of the model, expected {these}a number from 0 to "
                    f"{self.classes - 1}"
                )
        return np.asarray(numbers, np.int64)


def of(  # noqa: PLR0913 - one argument for each option of a model
    model: Any,
    scheduler: str | Path | None = None,
    like: Any = None,
    lora: str | Path | None = None,
    size: int | None = None,
) -> Subject:
    """The subject of a folder, a pipeline or (network, scheduler).

    Args:
        model: The model; see ``dasbench.commands.attributed_model.load``.
        scheduler: For a folder without one, the ``scheduler_config.json`` of its training.
        like: Images that say their size, if the network does not.
        lora: For the folder of a pipeline, the adapter that was trained.
        size: For a model of latents that does not state it, pixels of a side of its pictures.

    Raises:
        UserError: If it is none of these, or an option does not fit.
    """
    opened = attributed_model.load(model, scheduler, lora, size)
    network, process = attributed_model.checked((opened.network, opened.process))
    shape = opened.shape
    if opened.encoder and shape is None:
        raise UserError(
            f"the {opened.kind} does not state the size of its pictures; give the pixels of a side "
            "by size (--size)"
        )
    place = Path(model).expanduser().resolve() if isinstance(model, str | Path) else None
    files = {"scheduler": scheduler, "lora": lora}
    given = {k: v and str(Path(v).expanduser().resolve()) for k, v in files.items()}
    shape = shape or attributed_model.shape(network, like)
    return Subject(network, process, shape, opened, place, {**given, "size": size})


def _number(label: Any) -> int | None:
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return int(label)
    return int(label) if isinstance(label, str) and label.isdecimal() else None
