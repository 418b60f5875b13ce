"""The features of an index: its manifest, its engines, and what is missing of its files."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.commands import (
    attributed_model,
    index_inputs,
    index_manifest,
    index_soundness,
    index_work,
)
from dasbench.commands.index_images import Images
from dasbench.commands.index_inputs import Inputs
from dasbench.commands.index_manifest import Manifest
from dasbench.commands.index_settings import RELEASED_TIMESTEPS
from dasbench.commands.index_work import Share
from dasbench.commands.subject import Subject
from dasbench.core.blocks import blocks
from dasbench.core.hashed_chunks import Chunks
from dasbench.data.pictures import listed
from dasbench.errors import UserError

PROMPTED = 64  # images with prompts for which features are computed at once
TRIED = 64  # images whose features give the scale of each timestep and the speed
PART = 16  # a measurement of the speed is at most this part of the work that is left


def begin(
    folder: Path,
    model: Subject,
    settings: Mapping[str, Any],
    training: Images,
    decoys: Images | None,
    share: Share | None,
) -> Manifest:
    """The manifest of an index with these settings: the one that is there, or a new one.

    The files of the images are written, and those that are damaged written again.

    Args:
        folder: Of the index.
        model: The model.
        settings: method, options, damping, seed.
        training: The training images.
        decoys: The decoys, or None.
        share: Of this process; None: everything.

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
    index_manifest.check_folder(folder)
    rate, first = None, False
    if (folder / index_manifest.FILE).is_file():
        manifest = index_manifest.load(folder)
        index_manifest.check_same(folder, manifest, fields)
        first = len(manifest.parts) > 1 and [training.digest] == manifest.data[:1]
        if not first:
            _check_images(folder, manifest, training)
    else:
        fields |= {"parts": [len(training.pixels)], "data": [training.digest]}
        draft = Manifest(**fields, inputs=(), width=0, timesteps=(), scales=(), files={})
        manifest, rate = _tried(draft, model, training)
    announce(folder, manifest, sources(folder, manifest, model, training, decoys), share, rate)
    # images that were added are not among the first ones, so only the decoys can be written again
    manifest = index_manifest.with_images(folder, manifest, None if first else training, decoys)
    if first:
        index_soundness.verify_images(folder, manifest)
    return manifest


def extend(folder: Path, old: Manifest, stored: Mapping[str, Inputs], more: Images) -> Manifest:
    """The manifest with more training images; the files of the images are written.

    Args:
        folder: Of the index.
        old: Its manifest.
        stored: Its ``sources``.
        more: The images to add.

    Raises:
        UserError: If one is a decoy, there is a class that the index does not know, a prompt is
            missing, or the work does not fit.
    """
    model, training = stored["train"].model, stored["train"].images.and_more(more)
    decoys = stored["decoys"].images if "decoys" in stored else None
    index_inputs.check(model, more, old.classes)
    if old.classes is not None and (new := set(more.labels or ()) - set(old.classes)):
        raise UserError(f"{sorted(map(str, new))[0]!r} is no class of the index in {folder}")
    if decoys is not None and (shared := _shared(more, decoys)):
        raise UserError(
            f"{len(shared)} of {len(more.pixels)} images are decoys of the index in {folder}: "
            f"{listed(shared, 5)}; decoys are images that the model has not seen, so leave these "
            "images out, or build an index without these decoys"
        )
    manifest = dataclasses.replace(
        old,
        parts=[*old.parts, len(more.pixels)],
        data=[*old.data, more.digest],
        files={key: old.files[key] for key in old.files if key not in ("images", "pixels")},
    )
    announce(folder, manifest, sources(folder, manifest, model, training, decoys))
    return index_manifest.with_images(folder, manifest, training, None)


def announce(
    folder: Path,
    manifest: Manifest,
    inputs: Mapping[str, Inputs],
    share: Share | None = None,
    rate: float | None = None,
) -> None:
    """Print what the missing work needs, if any is missing; refuse it if it does not fit.

    Args:
        folder: Of the index.
        manifest: Of the index.
        inputs: Its ``sources``.
        share: Of this process; None: everything.
        rate: Seconds of one image at one slab, for a new index; None: measure them.

    Raises:
        UserError: If the work does not fit.
    """
    latents = [each.latents for each in inputs.values() if isinstance(each.latents, Chunks)]
    work = index_work.missing(folder, manifest, latents, share)
    if not work.features and not work.kernels:
        return
    what = "the index"
    if rate is None:
        what, rate = "the rest of the index", _rate(manifest, inputs["train"], work.features)
    if share:
        what = f"share {share.number}/{share.count} of the index"
    prediction = index_work.predict(manifest, work, rate)
    print(f"{what} needs about {prediction}", file=sys.stderr)
    index_work.refuse(prediction, folder)


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


def of_queries(manifest: Manifest, inputs: Inputs, word: str) -> list[np.ndarray]:
    """Features [Q, P] float32 of queries for each slab; ``word`` is that of ``Progress``."""
    made, found = engines(manifest, inputs), []
    progress = index_work.Progress(len(made), len(inputs), word)
    for place, engine in enumerate(made):
        parts = []
        for rows in blocks(len(inputs), max(1, engine.batch // len(engine.grid))):
            parts.append(features(engine, inputs, "query", rows))
            progress.step(place, rows.stop, len(parts[-1]))
        found.append(np.concatenate(parts))
    progress.close()
    return found


def compute(
    folder: Path, manifest: Manifest, inputs: Mapping[str, Inputs], share: Share | None
) -> None:
    """Compute the features that are missing, and without a share the kernels.

    Args:
        folder: Of the index.
        manifest: Of the index.
        inputs: Its ``sources``.
        share: Of this process; None: everything.
    """
    for split, each in inputs.items():
        progress = index_work.Progress(1, len(each), f"encoding {split}")
        rows = manifest.rows if split == "train" else manifest.decoy_rows
        index_inputs.fill(each, rows, share, functools.partial(progress.step, 0))
        progress.close()
    slabs = manifest.slabs(folder)
    word = "timestep" if manifest.options["kernel"] == "per_t" else "kernel"
    images = (manifest.count + manifest.decoys) // (share.count if share else 1)
    progress = index_work.Progress(len(slabs), images, word)
    for place, (slab, engine) in enumerate(
        zip(slabs, engines(manifest, inputs["train"]), strict=True)
    ):
        before = 0
        for split, each in inputs.items():
            chunks = getattr(slab, split)
            index_work.fill(
                chunks,
                lambda rows, e=engine, i=each, s=split, c=slab.scale: features(e, i, s, rows) * c,
                share,
                lambda done, new, at=place, start=before: progress.step(at, start + done, new),
            )
            before += len(chunks)
        if share is None:
            slab.fit(_float64_device())
    progress.close()
    if (residuals := manifest.residuals(folder)) is not None:
        index_work.fill(
            residuals,
            lambda rows: _residuals(manifest, inputs["train"], rows),
            share,
            lambda done, new: None,
        )


def sources(
    folder: Path, manifest: Manifest, model: Subject, training: Images, decoys: Images | None
) -> dict[str, Inputs]:
    """Inputs of the training images ("train"), and of the decoys ("decoys") if there are any."""
    parts = {"train": (training, manifest.rows)}
    if decoys is not None:
        parts["decoys"] = (decoys, manifest.decoy_rows)
    return {
        split: index_inputs.stored(folder, model, manifest, images, split, rows)
        for split, (images, rows) in parts.items()
    }


def _float64_device() -> str:
    """Where kernels are decomposed: a GPU if it has float64, else the CPU."""
    from dasbench.diffusion import checkpoints

    device = checkpoints.pick_device()
    return str(device) if device.type == "cuda" else "cpu"


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


def _rate(manifest: Manifest, inputs: Inputs, work: int) -> float:
    """Seconds of one image at one slab, by the first images.

    Args:
        manifest: Of the index.
        inputs: Of the training images, which need not be encoded yet.
        work: Images times slabs that are missing; the measurement is at most a part of it.
    """
    rows = slice(0, min(TRIED, len(inputs), work // PART))
    if not rows.stop:
        return 0.0
    try:
        inputs.x(rows), inputs.condition(rows)
    except UserError:  # no file has them
        some = inputs.images.some(range(rows.stop))
        inputs = index_inputs.of(inputs.model, some, manifest.classes)
    engine = engines(manifest, inputs)[0]
    start = time.perf_counter()
    features(engine, inputs, "train", rows)
    return (time.perf_counter() - start) / rows.stop


def _check_decoys(training: Images, decoys: Images | None) -> None:
    """Refuse decoys that are training images."""
    if decoys is not None and (shared := _shared(decoys, training)):
        raise UserError(
            f"{len(shared)} of {len(decoys.pixels)} decoys are training images, too: "
            f"{listed(shared, 5)}; decoys are images that the model has not seen, so leave them out"
        )


def _shared(images: Images, others: Images) -> list[str]:
    """Names of the images whose pixels are among those of the others."""
    known = {image.tobytes() for image in others.pixels}
    pairs = zip(images.pictures, images.pixels, strict=True)
    return [one.name for one, image in pairs if image.tobytes() in known]


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
