"""The features of an index: its manifest, its engines, and what is missing of its files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.commands import attributed_model, index_inputs, index_manifest, index_work
from dasbench.commands.index_images import Images
from dasbench.commands.index_inputs import Inputs
from dasbench.commands.index_manifest import Manifest
from dasbench.commands.index_settings import RELEASED_TIMESTEPS
from dasbench.commands.index_work import Share
from dasbench.commands.subject import Subject
from dasbench.core import artifacts, hashed_chunks
from dasbench.core.blocks import blocks
from dasbench.data.pictures import listed
from dasbench.errors import UserError

_IMAGES = re.compile(r"(images|pixels)-[0-9a-f]{16}\.(json|npy)")
# of an index before its index.json
_OWN = re.compile(rf"\.(lock|part-).*|decoy_{_IMAGES.pattern}|decoys-.*|{_IMAGES.pattern}")
PROMPTED = 64  # images with prompts for which features are computed at once
TRIED = 64  # images whose features give the scale of each timestep and the speed


def begin(
    folder: Path,
    model: Subject,
    settings: Mapping[str, Any],
    training: Images,
    decoys: Images | None,
) -> Manifest:
    """The manifest of an index with these settings: the one that is there, or a new one.

    Args:
        folder: Of the index.
        model: The model.
        settings: method, options, damping, seed.
        training: The training images.
        decoys: The decoys, or None.

    Raises:
        UserError: If the folder holds another index, or the work does not fit.
    """
    fields = {
        **settings,
        "model": model.about,
        "shape": list(model.shape),
        "decoys": 0 if decoys is None else len(decoys.pixels),
        "decoy_data": decoys and decoys.digest,
        "classes": model.class_names(training.labels),
    }
    for images in (training, decoys):
        if images is not None:
            index_inputs.check(model, images, fields["classes"])
    _check_decoys(training, decoys)
    _check_folder(folder)
    if (folder / index_manifest.FILE).is_file():
        old = index_manifest.load(folder)
        index_manifest.check_same(folder, old, fields)
        if len(old.parts) > 1 and [training.digest] == old.data[:1]:
            return old  # more images were added, whose files are there
        _check_images(folder, old, training)
        files = _write_all(folder, training, decoys)
        if files != old.files:  # the same images have other names by now
            old = dataclasses.replace(old, files=files)
            old.save(folder)
        return old
    fields |= {"parts": [len(training.pixels)], "data": [training.digest]}
    draft = Manifest(**fields, inputs=(), width=0, timesteps=(), scales=(), files={})
    manifest, rate = _tried(draft, model, training)
    stored = [training.pixels, *([] if decoys is None else [decoys.pixels])]
    latents = 4 * math.prod(manifest.inputs) if model.encoder else 0
    kept = sum(pixels.nbytes + len(pixels) * latents for pixels in stored)
    prediction = index_work.predict(manifest, rate, kept)
    print(f"the index needs about {prediction}", file=sys.stderr)
    index_work.refuse(prediction, folder)
    manifest = dataclasses.replace(manifest, files=_write_all(folder, training, decoys))
    manifest.save(folder)
    return manifest


def extend(folder: Path, model: Subject, old: Manifest, training: Images, more: Images) -> Manifest:
    """The manifest with more training images; the files of the images are written.

    Raises:
        UserError: If there is a class that the index does not know, or a prompt is missing.
    """
    index_inputs.check(model, more, old.classes)
    if old.classes is not None and (new := set(more.labels or ()) - set(old.classes)):
        raise UserError(f"{sorted(map(str, new))[0]!r} is no class of the index in {folder}")
    files = _write(folder, "images", "pixels", training.and_more(more))
    return dataclasses.replace(
        old,
        parts=[*old.parts, len(more.pixels)],
        data=[*old.data, more.digest],
        files={**old.files, **files},
    )


def engines(manifest: Manifest, inputs: Inputs) -> list[Any]:
    """An engine of features for each slab, after the network and its layers have been tried.

    Args:
        manifest: Of the index.
        inputs: Of some images; the first three are tried.
    """
    model = inputs.model
    settings, axes = manifest.options["features"], ("attribute", manifest.seed)
    key = json.dumps([settings, axes], sort_keys=True)
    if key not in model.tried:
        condition = inputs.condition(slice(0, 3))
        condition = condition and condition[np.arange(3) % min(len(inputs), 3)]
        model.tried[key] = attributed_model.extractor(
            model.network, model.process, settings, axes, inputs.shape, condition
        )
    extractor = model.tried[key]
    if manifest.options["kernel"] == "averaged":
        return [extractor]
    return [extractor.at(step) for step in range(len(extractor.grid))]


def features(engine: Any, inputs: Inputs, split: str, rows: slice = slice(None)) -> np.ndarray:
    """Features [n, P] float32 of some rows of images.

    Args:
        engine: One of ``engines``.
        inputs: The inputs of the images.
        split: "train", "decoys" or "query": which noise they have if it is keyed.
        rows: Which of the images.
    """
    from dasbench.diffusion.evaluation_mode import plain_arithmetic

    places = np.arange(len(inputs))[rows]
    # embeddings of prompts are large, and a batch of images takes their table to its device
    size = PROMPTED if inputs.model.takes == "prompts" else len(places)
    parts = []
    with plain_arithmetic():
        for part in blocks(len(places), size):
            some = slice(places[part][0], places[part][-1] + 1)
            found = engine(inputs.x(some), places[part], split, inputs.condition(some))
            parts.append(np.hstack(found))
    return np.concatenate(parts)


def compute(
    folder: Path,
    model: Subject,
    manifest: Manifest,
    training: Images,
    decoys: Images | None,
    share: Share | None,
) -> None:
    """Compute the features that are missing, and without a share the kernels.

    Args:
        folder: Of the index.
        model: The model.
        manifest: Of the index.
        training: The training images.
        decoys: The decoys, or None.
        share: Of this process; None: everything.
    """
    sources = _stored(folder, model, manifest, training, decoys, share)
    slabs = manifest.slabs(folder)
    word = "timestep" if manifest.options["kernel"] == "per_t" else "kernel"
    images = (manifest.count + manifest.decoys) // (share.count if share else 1)
    progress = index_work.Progress(len(slabs), images, word)
    for place, (slab, engine) in enumerate(
        zip(slabs, engines(manifest, sources["train"]), strict=True)
    ):
        before = 0
        for split, inputs in sources.items():
            chunks = getattr(slab, split)
            index_work.fill(
                chunks,
                lambda rows, e=engine, i=inputs, s=split, c=slab.scale: features(e, i, s, rows) * c,
                share,
                lambda done, new, at=place, start=before: progress.step(at, start + done, new),
            )
            before += len(chunks)
        if share is None:
            slab.fit()
    progress.close()
    if (residuals := manifest.residuals(folder)) is not None:
        index_work.fill(
            residuals,
            lambda rows: _residuals(manifest, sources["train"], rows),
            share,
            lambda done, new: None,
        )


def _stored(  # noqa: PLR0913 - the arguments of ``compute``
    folder: Path,
    model: Subject,
    manifest: Manifest,
    training: Images,
    decoys: Images | None,
    share: Share | None,
) -> dict[str, Inputs]:
    """Inputs of the training images and of the decoys, if any; what is missing is computed."""
    parts = {"train": (training, manifest.rows)}
    if decoys is not None:
        parts["decoys"] = (decoys, manifest.decoy_rows)
    made = {}
    for split, (images, rows) in parts.items():
        made[split] = index_inputs.stored(folder, model, manifest, images, split, rows)
        progress = index_work.Progress(1, len(images.pixels), f"encoding {split}")
        index_inputs.fill(made[split], rows, share, functools.partial(progress.step, 0))
        progress.close()
    return made


def _residuals(manifest: Manifest, inputs: Inputs, rows: slice) -> np.ndarray:
    """Residuals [n, 1] of some training images."""
    from dasbench.diffusion.evaluation_mode import evaluating, plain_arithmetic
    from dasbench.gradients import residuals

    kind = manifest.options["residual"]
    grid: dict[str, Any] = {"kind": kind}
    if kind == "released":
        steps = manifest.options.get("released_timesteps", RELEASED_TIMESTEPS)
        grid |= {"timestep_rule": "released", "timesteps": steps}
    model = inputs.model
    with plain_arithmetic(), evaluating(model.network):
        values = residuals.compute(
            model.network,
            model.process,
            inputs.x(rows),
            np.arange(rows.start, rows.stop),
            {**manifest.options["features"], **grid},
            ("attribute", manifest.seed),
            inputs.condition(rows),
        )
    return values[:, None]


def _tried(draft: Manifest, model: Subject, training: Images) -> tuple[Manifest, float]:
    """The manifest with scales, timesteps and P; seconds of one image at one slab."""
    count = len(training.pixels)
    spread = np.linspace(0, count - 1, min(TRIED, count)).round().astype(int)
    some = index_inputs.of(model, training.some(spread), draft.classes)
    made, scales, width = engines(draft, some), [], 0
    start = time.perf_counter()
    for engine in made:
        phi = features(engine, some, "train")
        scales.append(index_work.scale_of(phi))
        width = phi.shape[1]
    rate = (time.perf_counter() - start) / (len(made) * len(spread))
    steps = [int(engine.grid[0]) for engine in made] if draft.options["kernel"] == "per_t" else []
    shapes = {"inputs": list(some.shape), "width": width}
    return dataclasses.replace(draft, **shapes, timesteps=steps, scales=scales), rate


def remove_others(folder: Path, manifest: Manifest) -> None:
    """Delete files of images that the manifest does not name, such as those of a smaller index."""
    for file in folder.iterdir():
        if _IMAGES.fullmatch(file.name) and file.name not in manifest.files.values():
            file.unlink()


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is no index and holds files, which an index could overwrite or mix."""
    others = [file.name for file in sorted(folder.iterdir()) if not _OWN.fullmatch(file.name)]
    if others and not (folder / index_manifest.FILE).is_file():
        raise UserError(
            f"{folder} holds {others[0]} and no {index_manifest.FILE}, so it is no index; give an "
            "empty or new folder"
        )


def _check_decoys(training: Images, decoys: Images | None) -> None:
    """Refuse decoys that are training images."""
    if decoys is None:
        return
    known = {image.tobytes() for image in training.pixels}
    shared = [
        one.name
        for one, image in zip(decoys.pictures, decoys.pixels, strict=True)
        if image.tobytes() in known
    ]
    if shared:
        raise UserError(
            f"{len(shared)} of {len(decoys.pixels)} decoys are training images, too: "
            f"{listed(shared, 5)}; decoys are images that the model has not seen, so leave them out"
        )


def _check_images(folder: Path, old: Manifest, training: Images) -> None:
    """Refuse other training images than those of the index."""
    if old.count != len(training.pixels):
        raise UserError(
            f"{folder} is an index of {old.count} training images, not of {len(training.pixels)}; "
            "give all of them in their order, or another folder; `dasbench add` adds images"
        )
    ends = np.cumsum(old.parts)
    parts = [np.arange(end - n, end) for end, n in zip(ends, old.parts, strict=True)]
    digests = [training.some(part).digest for part in parts]
    index_manifest.check_same(folder, old, {"data": digests})


def _write_all(folder: Path, training: Images, decoys: Images | None) -> dict[str, str]:
    files = _write(folder, "images", "pixels", training)
    return files if decoys is None else files | _write(folder, "decoy_images", "decoys", decoys)


def _write(folder: Path, listing: str, pixels: str, images: Images) -> dict[str, str]:
    """Write pixels, names and classes of images; names of the files."""
    name, text = _listing(images, listing)
    artifacts.write_text(folder / name, text)
    stored = hashed_chunks.save(folder / f"{pixels}.npy", images.pixels, keep=True)
    return {listing: name, pixels: stored.name}


def _listing(images: Images, listing: str = "images") -> tuple[str, str]:
    """Name and content of the file with the names and classes of images."""
    pictures = [[one.name, one.path, one.label] for one in images.pictures]
    text = json.dumps({"pictures": pictures, "labels": images.labels}) + "\n"
    return f"{listing}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json", text
