"""The model behind an index: its network, what the network takes, and a hash of its weights."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.commands import attributed_model
from dasbench.data import folder as folders
from dasbench.errors import UserError


@dataclass(frozen=True)
class Subject:
    """A model as an index uses it.

    Attributes:
        network: The denoiser, checked.
        process: Its process.
        shape: (C, H, W) of the pictures.
        encode: Function of pictures [n, H, W, C] uint8 to inputs [n, c, h, w] of the network.
        classes: Number of classes that the network takes; None if it takes none.
        place: Folder that the model was read from, or None.
        scheduler: The scheduler's file that the user named, or None.
        tried: Engines of features whose layers have been tried, by their settings.
    """

    network: Any
    process: Any
    shape: tuple[int, int, int]
    encode: Callable[[np.ndarray], np.ndarray]
    classes: int | None = None
    place: Path | None = None
    scheduler: Path | None = None
    tried: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, the kind of the network, and the process."""
        total = hashlib.sha256()
        process = {"settings": self.process.settings, "training": self.process.training}
        about = [type(self.network).__name__, type(self.process).__name__, process]
        total.update(json.dumps(about, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            total.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            total.update(values.view(-1).view(_bytes()).numpy())
        return total.hexdigest()

    @property
    def name(self) -> str:
        """The model in words."""
        kind = f"{type(self.network).__name__}, {type(self.process).__name__} process"
        return f"{self.place} ({kind})" if self.place else kind

    def condition(self, numbers: np.ndarray | None) -> Any:
        """The condition of images with these classes [n] int64; None for a network without."""
        if self.classes is None:
            return None
        import torch

        from dasbench.diffusion.conditions import Condition

        return Condition("class_labels", torch.from_numpy(numbers))

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
                "the model takes classes, and images without a class were given; give labels "
                "(--label), or put training images into one subfolder for each class"
            )
        known = {name: place for place, name in enumerate(names or ())}
        numbers = [known[label] if label in known else _number(label) for label in labels]
        for label, number in zip(labels, numbers, strict=True):
            if number is None or not 0 <= number < self.classes:
                listed = f"one of {', '.join(known)}, or " if known else ""
                raise UserError(
                    f"{label!r} is no class of the model, expected {listed}a number from 0 to "
                    f"{self.classes - 1}"
                )
        return np.asarray(numbers, np.int64)


def of(
    model: Any, scheduler: str | Path | None = None, like: Any = None, classes: bool = True
) -> Subject:
    """The subject of a folder, a pipeline or (network, scheduler).

    Args:
        model: The model; see ``dasbench.commands.attributed_model.pair``.
        scheduler: For a folder without one, the ``scheduler_config.json`` of its training.
        like: Images that say their size, if the network does not.
        classes: Whether the network may take classes.

    Raises:
        UserError: If it is none of these, or takes what an index cannot give it.
    """
    from dasbench.diffusion import denoiser

    pair = attributed_model.pair(model, scheduler, classes)
    network, process = attributed_model.checked(pair, classes)
    number = None
    if attributed_model.takes_classes(network):
        number = network.config.get("num_class_embeds")
        if not number or network.config.get("class_embed_type"):
            raise UserError(
                f"the network embeds its classes by {network.config.get('class_embed_type')}, "
                "expected numbers of classes (num_class_embeds)"
            )
    place = Path(model).expanduser().resolve() if isinstance(model, str | Path) else None
    file = None if scheduler is None else Path(scheduler).expanduser().resolve()
    shape = attributed_model.shape(network, like)
    return Subject(network, process, shape, denoiser.to_model, number, place, file)


def class_names(labels: Sequence[Any] | None) -> list[str] | None:
    """Names of classes in the order of their numbers; None if labels are absent or numbers."""
    texts = {label for label in labels or () if isinstance(label, str)}
    return folders.numbered(texts) if texts else None


def _number(label: Any) -> int | None:
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return int(label)
    return int(label) if isinstance(label, str) and label.isdecimal() else None


def _bytes() -> Any:
    import torch

    return torch.uint8
