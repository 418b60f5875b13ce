"""The training and held-out images of an experiment, and the user's files behind them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.attribution.answer import Picture
from dasbench.commands.index_images import Images
from dasbench.core import artifacts
from dasbench.data import folder, pictures
from dasbench.errors import UserError


def images(home: Path, data: Mapping[str, Any], takes: str | None) -> Images:
    """The training images of an experiment, with the classes or prompts that its model takes.

    Args:
        home: results/E.
        data: The experiment's ``data`` section.
        takes: "classes", "prompts" or None.

    Raises:
        UserError: If a file of the experiment is missing or damaged.
    """
    train = artifacts.load_examples(home / "examples" / "train.npz")
    rows = zip(train.ids, train.labels, find(train.images, data), strict=True)
    names = [f"id {i} (label {c}){file and f': {file}'}" for i, c, file in rows]
    return _images(home, train, names, takes)


def held_out(home: Path, training: Images, takes: str | None) -> Images | None:
    """The held-out images of an experiment that are no training images; None if there are none.

    Args:
        home: results/E.
        training: Its training images. Data sets hold some images twice.
        takes: "classes", "prompts" or None.

    Raises:
        UserError: If a file of the experiment is damaged.
    """
    if not (home / "examples/val.npz").is_file():
        return None
    unseen = artifacts.load_examples(home / "examples/val.npz")
    names = [f"id {i} (label {c})" for i, c in zip(unseen.ids, unseen.labels, strict=True)]
    known = {image.tobytes() for image in training.pixels}
    rows = np.flatnonzero([image.tobytes() not in known for image in unseen.images])
    return _images(home, unseen, names, takes).some(rows) if len(rows) else None


def _images(
    home: Path, examples: artifacts.Examples, names: list[str], takes: str | None
) -> Images:
    labels: list[Any] = [None] * len(names)
    if takes == "classes":
        labels = examples.labels.tolist()
    if takes == "prompts":
        texts = artifacts.load_json(home / "prompts" / "texts.json")
        labels = [texts[label] for label in examples.labels]
    return Images(examples.images, [Picture(name) for name in names], None).labelled(labels)


def find(images: np.ndarray, data: Mapping[str, Any]) -> list[str]:
    """The file of each training image, found by its pixels: folders change after a reading.

    Args:
        images: [N, H, W, C] uint8.
        data: The experiment's ``data`` section.

    Returns:
        Path relative to the folder, with the paths of identical pictures behind it; an empty text
        where there is none, as for all other data sets.
    """
    if data.get("dataset") != "folder":
        return [""] * len(images)
    try:
        place = folder.opened(Path(data["path"]).expanduser(), "data.path")
        listed = folder.listing(place, data["labels"]).label_of
        found = pictures.read_all({name: place / name for name in listed}, data, whole=False)
    except UserError:  # the pictures may be elsewhere; the scores do not need them
        return [""] * len(images)
    names, by_pixels = list(listed), {}
    for i, image in zip(found.good, found.images, strict=True):
        by_pixels.setdefault(image.tobytes(), []).append(names[i])
    return [" = ".join(by_pixels.get(image.tobytes(), [])) for image in images]
