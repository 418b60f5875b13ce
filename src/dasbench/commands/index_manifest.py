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

Everything is plain ``.npy`` and JSON; nothing in it can run code. The two files at the top hold a
hash of their content, each other file has one of its bytes in its name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dasbench.attribution.indexed import Form, Slab
from dasbench.commands import subject
from dasbench.commands.index_images import Images
from dasbench.commands.subject import Subject
from dasbench.core import artifacts, hashed_chunks, resumable
from dasbench.core.blocks import blocks
from dasbench.core.hashed_chunks import Chunks
from dasbench.errors import UserError
from dasbench.version import __version__

FORMAT = 4
FILE = "index.json"
CHUNK = 512  # images of a file: what a kill costs, and the largest batch of the engine
DTYPE = "float16"  # with one scale for each timestep; its ranks agree with float32 (tests)
_AGAIN = "give another folder, or delete this one"
_IMAGES = re.compile(r"(images|pixels)-[0-9a-f]{16}\.(json|npy)")
# of an index before its index.json
_OWN = re.compile(rf"\.(lock|part-).*|decoy_{_IMAGES.pattern}|decoys-.*|{_IMAGES.pattern}")


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
        artifacts.save_json(folder / FILE, sealed(dataclasses.asdict(self)))

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
    if not is_sealed(content):
        raise UserError(damaged)
    del content["hash"]
    return Manifest(**content)


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file with a hash of it, under the key ``hash``."""
    text = json.dumps(_plain(content), sort_keys=True)
    return {**content, "hash": resumable.fingerprint(text)}


def is_sealed(content: Any) -> bool:
    """Whether the content of a JSON file is one that ``sealed`` made, and has not changed."""
    if not isinstance(content, dict):
        return False
    return content == sealed({key: value for key, value in content.items() if key != "hash"})


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no index and holds files, which an index could overwrite or mix."""
    others = [file.name for file in sorted(folder.iterdir()) if not _OWN.fullmatch(file.name)]
    if others and not (folder / FILE).is_file():
        raise UserError(
            f"{folder} holds {others[0]} and no {FILE}, so it is no index; give an "
            "empty or new folder"
        )


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
        if key == "model":
            _check_model(folder, have, value, _AGAIN)
        elif _plain(have) != _plain(value):
            what = words.get(key) or _difference(key, _plain(have), _plain(value))
            raise UserError(f"{folder} is an index of {what}; {_AGAIN}")


def _check_model(
    folder: Path, have: Mapping[str, Any], new: Mapping[str, Any], remedy: str
) -> None:
    if have["digest"] != new["digest"]:
        raise UserError(
            f"{folder} is an index of another model ({have['name']}, hash {have['digest'][:12]}), "
            f"not of {new['name']} (hash {new['digest'][:12]}); {remedy}"
        )


def _difference(key: str, have: Any, value: Any) -> str:
    """The first difference of two values, in words: ``dimensions 64, not 128``."""
    if isinstance(have, Mapping) and isinstance(value, Mapping):
        for inner in sorted(have.keys() | value.keys()):
            if have.get(inner) != value.get(inner):
                return _difference(inner, have.get(inner), value.get(inner))
    return f"{key} {have}, not {value}"


def with_images(
    folder: Path, manifest: Manifest, training: Images | None, decoys: Images | None
) -> Manifest:
    """The manifest with the files of the given images, after these and ``index.json`` are saved."""
    files = dict(manifest.files)
    if training is not None:
        files |= _write(folder, "images", "pixels", training)
    if decoys is not None:
        files |= _write(folder, "decoy_images", "decoys", decoys)
    if files != manifest.files:  # new images, or the same ones under other names
        manifest = dataclasses.replace(manifest, files=files)
        manifest.save(folder)
    return manifest


def _write(folder: Path, listing: str, pixels: str, images: Images) -> dict[str, str]:
    """Write pixels, names and classes of images; names of the files."""
    pictures = [[one.name, one.path, one.label] for one in images.pictures]
    text = json.dumps({"pictures": pictures, "labels": images.labels}) + "\n"
    name = f"{listing}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    artifacts.write_text(folder / name, text)
    stored = hashed_chunks.save(folder / f"{pixels}.npy", images.pixels, keep=True)
    return {listing: name, pixels: stored.name}


def remove_others(folder: Path, manifest: Manifest) -> None:
    """Delete files of images that the manifest does not name, such as those of a smaller index."""
    for file in folder.iterdir():
        if _IMAGES.fullmatch(file.name) and file.name not in manifest.files.values():
            file.unlink()


def model_of(
    folder: Path, manifest: Manifest, model: Any = None, lora: str | Path | None = None
) -> Subject:
    """The model of an index.

    Args:
        folder: Of the index.
        manifest: Of the index.
        model: The model, in a form of ``subject.of``, or opened; None: where it was.
        lora: Its adapter; None: where it was.

    Raises:
        UserError: If it is nowhere, or another one.
    """
    found = model if isinstance(model, Subject) else _opened(folder, manifest.model, model, lora)
    _check_model(folder, manifest.model, found.about, "give the model that it was built from")
    return found


def _opened(folder: Path, about: Mapping[str, Any], model: Any, lora: str | Path | None) -> Subject:
    """The model of an index, from where it was or from the given place."""
    if model is None and about["place"] is None:
        raise UserError(
            f"the index in {folder} was built from a model in memory; give the model to Index.open"
        )
    for key, option in (("place", "model"), ("lora", "lora")):
        given = model if key == "place" else lora
        if given is None and about[key] and not Path(about[key]).exists():
            raise UserError(
                f"{about[key]}, of which the index in {folder} was built, is not there; say where "
                f"it is by --{option} ({option} in Python)"
            )
    place = about["place"] if model is None else model
    in_memory = not isinstance(place, str | Path)
    scheduler, adapter = (None if in_memory else about[key] for key in ("scheduler", "lora"))
    return subject.of(place, scheduler, lora=lora or adapter, size=about["size"])


def versions() -> dict[str, str]:
    """Versions that numbers may depend on."""
    others = {name: metadata.version(name) for name in ("torch", "diffusers", "numpy")}
    return {"dasbench": __version__, **others}


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
