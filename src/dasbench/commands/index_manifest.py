"""What an index is made of: its settings, hashes and files, in ``index.json``.

Files of an index::

    index.json               this module; written before any feature
    checked.json             the self-check; written last, so an index with it is complete
    pixels-HASH.npy          [N, H, W, C] uint8 training images; decoys-HASH.npy likewise
    images-HASH.json         names, files and classes of the training images
    latents/, prompts/       inputs that are computed once (``index_inputs``)
    residuals/               [N, 1] float32, if the method has residuals
    slabs/000/train/         features of the first timestep (``dasbench.core.hashed_chunks``)
    slabs/000/decoys/        features of the decoys
    slabs/000/*.npy          its decomposed kernel (``dasbench.attribution.indexed``)

Everything is plain ``.npy`` and JSON; nothing in it can run code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dasbench.attribution.indexed import Form, Slab
from dasbench.core import artifacts, resumable
from dasbench.core.blocks import blocks
from dasbench.core.hashed_chunks import Chunks
from dasbench.errors import UserError
from dasbench.version import __version__

FORMAT = 3
FILE = "index.json"
CHUNK = 512  # images of a file: what a kill costs, and the largest batch of the engine
DTYPE = "float16"  # with one scale for each timestep; its ranks agree with float32 (tests)
_AGAIN = "give another folder, or delete this one"


@dataclass(frozen=True)
class Manifest:
    """The content of ``index.json``.

    Attributes:
        model: name, digest, place (folder or None), takes (classes, prompts or None), latents
            (whether it takes them), and the options scheduler, lora (files) and size, or None.
        method: Name of the method.
        options: All its options, those of its features included.
        damping: Relative to the largest eigenvalue of each kernel.
        seed: Of noise and projection.
        shape: (C, H, W) of the pictures.
        inputs: (c, h, w) of the network's inputs: of the pictures or of their latents.
        width: P.
        timesteps: [T]; empty if the kernel is averaged over them.
        scales: [S], one for each slab: stored features are this number times the features.
        parts: Number of training images in the first building and in each addition.
        decoys: Number of decoys.
        data: SHA-256 of the training images of each part.
        decoy_data: SHA-256 of the decoys.
        classes: Names of the classes in the order of their numbers, or None.
        files: Names of the files: pixels, images, decoys.
        reading: resize, background and range with which image files were read, if given; queries
            are read in the same way.
        dtype: Type of the stored features.
        versions: Of dasbench, torch, diffusers and numpy.
        format: Of these files.
    """

    model: Mapping[str, Any]
    method: str
    options: Mapping[str, Any]
    damping: float
    seed: int
    shape: Sequence[int]
    inputs: Sequence[int]
    width: int
    timesteps: Sequence[int]
    scales: Sequence[float]
    parts: Sequence[int]
    decoys: int
    data: Sequence[str]
    decoy_data: str | None
    classes: Sequence[str] | None
    files: Mapping[str, str]
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dtype: str = DTYPE
    versions: Mapping[str, str] = dataclasses.field(default_factory=lambda: versions())
    format: int = FORMAT

    @property
    def count(self) -> int:
        """N."""
        return sum(self.parts)

    def save(self, folder: Path) -> None:
        """Write ``index.json``, with a hash of its content."""
        content = dataclasses.asdict(self)
        artifacts.save_json(folder / FILE, content | {"hash": _hash(content)})

    def slabs(self, folder: Path) -> list[Slab]:
        """The slabs of an index in this folder."""
        form = Form(self.options, self.damping, self.width, self.dtype)
        return [
            Slab(folder / "slabs" / f"{place:03d}", form, self.rows, self.decoy_rows, scale)
            for place, scale in enumerate(self.scales)
        ]

    def residuals(self, folder: Path) -> Chunks | None:
        """The residuals of the training images [N, 1]; None for a method without."""
        if self.options["residual"] == "none":
            return None
        return Chunks(folder / "residuals", self.rows, 1, "float32")

    @property
    def decoy_rows(self) -> list[slice]:
        """Rows of the chunks of decoys."""
        return blocks(self.decoys, CHUNK)

    @property
    def rows(self) -> list[slice]:
        """Rows of the chunks; an addition starts a new chunk."""
        starts = [sum(self.parts[:k]) for k in range(len(self.parts))]
        return [
            slice(start + part.start, start + part.stop)
            for start, count in zip(starts, self.parts, strict=True)
            for part in blocks(count, CHUNK)
        ]


def load(folder: Path) -> Manifest:
    """Read ``index.json``.

    Raises:
        UserError: If there is none, it is damaged, or it was made by another version.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(f"{folder} is no index: {FILE} is missing; `dasbench index` makes one")
    damaged = f"{file} is damaged; build the index again in another folder"
    try:
        content = artifacts.load_json(file)
    except UserError as error:
        raise UserError(damaged) from error
    known = isinstance(content, dict) and content.get("format") == FORMAT
    of = content.get("versions") if known else None
    version = of.get("dasbench") if isinstance(of, dict) else None
    if not known or version != __version__:
        raise UserError(
            f"{folder} is an index of dasbench {version or 'of another format'}, this is "
            f"{__version__}; build it again in another folder"
        )
    if content.pop("hash", None) != _hash(content):
        raise UserError(damaged)
    return Manifest(**content)


def is_sound(folder: Path) -> bool:
    """Whether ``load`` can read ``index.json``."""
    try:
        load(folder)
    except UserError:
        return False
    return True


def check_same(folder: Path, old: Manifest, new: Mapping[str, Any]) -> None:
    """Refuse to go on with an index of another model, other data or other settings.

    Args:
        folder: Of the index.
        old: Its manifest.
        new: Some of the fields that it should have.

    Raises:
        UserError: If one differs; it names the first.
    """
    words = {"data": "other training images", "decoy_data": "other decoys"}
    for key, value in new.items():
        have = getattr(old, key)
        if key == "model" and have["digest"] != value["digest"]:
            raise UserError(
                f"{folder} is an index of another model ({have['name']}, hash "
                f"{have['digest'][:12]}), not of {value['name']} (hash {value['digest'][:12]}); "
                f"{_AGAIN}"
            )
        if key != "model" and _plain(have) != _plain(value):
            what = words.get(key) or _difference(key, _plain(have), _plain(value))
            raise UserError(f"{folder} is an index of {what}; {_AGAIN}")


def _difference(key: str, have: Any, value: Any) -> str:
    """The first difference of two values, in words: ``dimensions 64, not 128``."""
    if isinstance(have, Mapping) and isinstance(value, Mapping):
        for inner in sorted(have.keys() | value.keys()):
            if have.get(inner) != value.get(inner):
                return _difference(inner, have.get(inner), value.get(inner))
    return f"{key} {have}, not {value}"


def _hash(content: Mapping[str, Any]) -> str:
    """A hash of the content of ``index.json``."""
    return resumable.fingerprint(json.dumps(_plain(content), sort_keys=True))


def versions() -> dict[str, str]:
    """Versions that numbers may depend on."""
    others = {name: metadata.version(name) for name in ("torch", "diffusers", "numpy")}
    return {"dasbench": __version__, **others}


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
