"""What the network takes of the images of an index: pixels or latents, and classes or prompts.

An index keeps latents and embeddings of prompts in files, since each timestep takes the same ones.
To encode an image again at each timestep would cost 1.4 forward passes of the network more (Stable
Diffusion 1 at 512 pixels: 1117 against 803 GFLOP by torch's counter). Pixels are only scaled, at
each use.

    latents/train/           latents of the training images; latents/decoys/ of the decoys
    prompts/KEY-HASH.npy     embedding [S, d] of the prompt whose SHA-256 starts with KEY
"""

from __future__ import annotations

import functools
import hashlib
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.commands import index_work
from dasbench.commands.index_images import Images
from dasbench.commands.index_manifest import Manifest
from dasbench.commands.index_work import Share
from dasbench.commands.subject import Subject
from dasbench.core import artifacts, hashed_chunks
from dasbench.core.blocks import blocks
from dasbench.core.hashed_chunks import Chunks

AT_ONCE = 16  # pictures that are encoded, or prompts that are embedded: their memory is large
NOTHING = ""  # the empty prompt, which stands for "no condition"


@dataclass(frozen=True)
class Inputs:
    """The inputs of a network for n images.

    Attributes:
        model: The model.
        images: The images.
        classes: Names of the classes in the order of their numbers, or None.
        shape: (c, h, w) of an input.
        latents: [n, c * h * w]; None for a model of pixels.
        embeddings: prompt -> [S, d], for a model with prompts.
    """

    model: Subject
    images: Images
    classes: Sequence[str] | None
    shape: tuple[int, ...]
    latents: np.ndarray | Chunks | None = None
    embeddings: Prompts | Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of the images."""
        return len(self.images.pixels)

    def x(self, rows: slice = slice(None)) -> np.ndarray:
        """Pixels or latents [m, c, h, w] float32 of some rows."""
        if self.latents is None:
            return scaled(self.images.pixels[rows])
        return np.array(self.latents[rows], np.float32).reshape(-1, *self.shape)

    def condition(self, rows: slice = slice(None)) -> Any:
        """The condition of some rows, or None."""
        captions = self.images.labels and self.images.labels[rows]
        if self.model.takes != "prompts":
            return self.model.condition(self.model.numbers(captions, self.classes))
        texts = self.model.texts(captions)
        distinct = [*dict.fromkeys(texts), NOTHING]
        place = {text: row for row, text in enumerate(distinct[:-1])}
        table = np.stack([self.embeddings[text] for text in distinct])
        return self.model.condition(np.array([place[text] for text in texts]), table)


class Prompts:
    """Embeddings of prompts in files of a folder."""

    def __init__(self, folder: Path):
        """Keep the folder; files are opened when they are used."""
        self.folder = folder

    def __getitem__(self, text: str) -> np.ndarray:
        """[S, d] float32.

        Raises:
            UserError: If its file is missing or damaged.
        """
        path = self._path(text)
        return artifacts.load_array(hashed_chunks.named(path) or path, (None, None), np.float32)

    def fill(self, model: Subject, texts: Iterable[str]) -> None:
        """Embed the prompts that are missing or damaged, each once."""
        missing = [text for text in texts if not hashed_chunks.is_sound(self._path(text))]
        for text in missing:
            if damaged := hashed_chunks.named(self._path(text)):
                damaged.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for text, embedding in embedded(model, missing):
            # another process may embed the same prompt for its share of the images
            with tempfile.TemporaryDirectory(dir=self.folder) as own:
                file = hashed_chunks.save(Path(own) / self._path(text).name, embedding)
                file.replace(self.folder / file.name)

    def _path(self, text: str) -> Path:
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"


def of(model: Subject, images: Images, classes: Sequence[str] | None) -> Inputs:
    """Inputs in memory, for queries.

    Raises:
        UserError: If a class or a prompt is missing.
    """
    check(model, images, classes)
    latents = None
    if model.encoder:
        x = encoded(model.encoder(), images.pixels)
        latents, shape = x.reshape(len(x), -1), x.shape[1:]
    else:
        shape = scaled(images.pixels[:1]).shape[1:]
    texts = dict.fromkeys([*images.labels, NOTHING]) if model.takes == "prompts" else {}
    return Inputs(model, images, classes, shape, latents, dict(embedded(model, list(texts))))


def stored(
    folder: Path, model: Subject, manifest: Manifest, images: Images, split: str, rows: list[slice]
) -> Inputs:
    """Inputs whose latents and embeddings are in the files of an index.

    Args:
        folder: Of the index.
        model: The model.
        manifest: Of the index.
        images: The images.
        split: "train" or "decoys".
        rows: Rows of the chunks.
    """
    shape, latents = tuple(manifest.inputs), None
    if model.encoder:
        latents = Chunks(folder / "latents" / split, rows, math.prod(shape), "float32")
    return Inputs(model, images, manifest.classes, shape, latents, Prompts(folder / "prompts"))


def fill(
    inputs: Inputs, rows: list[slice], share: Share | None, tell: Callable[[int, int], Any]
) -> None:
    """Compute the latents and embeddings of ``stored`` inputs that are missing or damaged.

    Args:
        inputs: The inputs.
        rows: Rows of the chunks.
        share: Of this process; None: all.
        tell: See ``index_work.fill``.
    """
    model, images = inputs.model, inputs.images
    if isinstance(inputs.latents, Chunks):
        encoder = functools.cache(model.encoder)

        def encode(part: slice) -> np.ndarray:
            return encoded(encoder(), images.pixels[part]).reshape(part.stop - part.start, -1)

        index_work.fill(inputs.latents, encode, share, tell)
    if model.takes == "prompts":
        texts = [t for part in (share.of(rows) if share else rows) for t in images.labels[part]]
        inputs.embeddings.fill(model, dict.fromkeys([*texts, NOTHING]))


def check(model: Subject, images: Images, classes: Sequence[str] | None) -> None:
    """Refuse images without the class or prompt that the model takes.

    Raises:
        UserError: It names the first fault.
    """
    if model.takes == "prompts":
        model.texts(images.labels)
    else:
        model.numbers(images.labels, classes)


def encoded(encode: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Latents [n, c, h, w] of pictures [n, H, W, C] uint8."""
    return np.concatenate([encode(scaled(pixels[p])) for p in blocks(len(pixels), AT_ONCE)])


def embedded(model: Subject, texts: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (prompt, embedding [S, d]); the text encoder is read once."""
    if texts:
        embed = model.opened.embedder()
        for part in blocks(len(texts), AT_ONCE):
            yield from zip(texts[part], embed(texts[part]), strict=True)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Pixels [n, C, H, W] float32 in [-1, 1] of pictures [n, H, W, C] uint8."""
    from dasbench.diffusion import denoiser

    return denoiser.to_model(pixels)
