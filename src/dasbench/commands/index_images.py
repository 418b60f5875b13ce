"""Training images, decoys and questions of an index, in any form that can mean one thing only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dasbench.attribution.answer import Picture
from dasbench.commands import image_files
from dasbench.data import arrays, folder
from dasbench.errors import UserError

_LABELS = ("label", "labels", "class", "text", "caption", "prompt")  # columns of a Dataset


class Images(NamedTuple):
    """Some images.

    Attributes:
        pixels: [n, H, W, C] uint8.
        pictures: [n] their names and files.
        labels: [n] classes, as names or numbers; None if nothing is known of any of them.
    """

    pixels: np.ndarray
    pictures: list[Picture]
    labels: list[Any] | None

    def some(self, rows: Sequence[int]) -> Images:
        """The images at these positions."""
        labels = self.labels and [self.labels[i] for i in rows]
        return Images(self.pixels[rows], [self.pictures[i] for i in rows], labels)

    def and_more(self, other: Images) -> Images:
        """These images, then the others."""
        pixels = np.concatenate([self.pixels, other.pixels])
        labels = None
        if self.labels or other.labels:
            labels = [
                label
                for images in (self, other)
                for label in images.labels or [None] * len(images.pixels)
            ]
        return Images(pixels, [*self.pictures, *other.pictures], labels)

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels and the labels."""
        labels = self.labels if any(label is not None for label in self.labels or ()) else None
        total = hashlib.sha256(repr((self.pixels.shape, labels)).encode())
        total.update(np.ascontiguousarray(self.pixels))
        return total.hexdigest()


def read(
    images: Any,
    shape: tuple[int, int, int],
    what: str,
    labels: Any = None,
    reading: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
) -> Images:
    """Images of a folder, of files, of arrays or pictures of Pillow, or of a ``datasets.Dataset``.

    Args:
        images: The images.
        shape: (C, H, W) of the model.
        what: Name of the images, in the plural, for messages.
        labels: Their classes, one for each image, or one for all; None: those of subfolders or of
            a Dataset's column.
        reading: resize, background, range, as in a ``data`` section; for files.
        skip_bad: Leave out files that cannot be read.

    Raises:
        UserError: If images cannot be read, do not fit the model, or their number is not that of
            the labels.
    """
    if (paths := _paths(images)) is not None:
        found = _files(paths, shape, what, reading, skip_bad)
    else:
        found = _arrays(images, shape, what)
    if labels is None:
        return found
    # a single word or number is the class of all images
    given = [labels] if isinstance(labels, str) or np.ndim(labels) == 0 else list(labels)
    given = [label.item() if isinstance(label, np.generic) else label for label in given]
    given = given * len(found.pixels) if len(given) == 1 else given
    if len(given) != len(found.pixels):
        raise UserError(
            f"there are {len(given)} labels for {len(found.pixels)} {what}; give one for each"
        )
    named = zip(found.pictures, given, strict=True)
    pictures = [Picture(one.name, one.path, str(label)) for one, label in named]
    return Images(found.pixels, pictures, given)


def _paths(images: Any) -> list[Path] | None:
    """The paths that were given; None if images are no paths."""
    if isinstance(images, str | Path):
        return [Path(images)]
    listed = isinstance(images, list | tuple) and len(images) > 0
    if listed and all(isinstance(each, str | Path) for each in images):
        return [Path(each) for each in images]
    return None


def _files(
    paths: Sequence[Path],
    shape: tuple[int, int, int],
    what: str,
    reading: Mapping[str, Any] | None,
    skip_bad: bool,
) -> Images:
    paths = [path.expanduser() for path in paths]
    files = image_files.below(paths, f"the {what} are")
    pixels, names = image_files.read(files, shape, reading, skip_bad)
    known = {
        str(path / name): label
        for path in paths
        if path.is_dir()
        for name, label in folder.listing(path).label_of.items()
    }
    labels = [known.get(name) or None for name in names]
    pictures = [
        Picture(name, str(files[name].absolute()), label)
        for name, label in zip(names, labels, strict=True)
    ]
    return Images(pixels, pictures, labels if any(labels) else None)


def _arrays(images: Any, shape: tuple[int, int, int], what: str) -> Images:
    labels = None
    if hasattr(images, "column_names"):
        images, labels = _dataset(images, what)
    pixels = arrays.images(images, shape, what)
    texts = [None] * len(pixels) if labels is None else map(str, labels)
    pictures = [Picture(f"image {i}", None, label) for i, label in enumerate(texts)]
    return Images(pixels, pictures, labels)


def _dataset(rows: Any, what: str) -> tuple[list[Any], list[Any] | None]:
    """Pictures and labels of a ``datasets.Dataset``, by the first columns that hold them."""
    from PIL import Image

    first = rows[0] if len(rows) else {}
    column = next((name for name in first if isinstance(first[name], Image.Image)), None)
    if column is None:
        raise UserError(
            f"the {what} are a Dataset without a column of pictures (it has "
            f"{', '.join(rows.column_names) or 'none'}); cast one to datasets.Image()"
        )
    label = next((name for name in _LABELS if name in rows.column_names), None)
    if label is None:
        return list(rows[column]), None
    names = getattr(getattr(rows, "features", {}).get(label), "names", None)
    values = list(rows[label])
    return list(rows[column]), [names[v] for v in values] if names else values
