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
from dasbench.data import labels as label_tables
from dasbench.data.pictures import listed
from dasbench.errors import UserError

# columns of a Dataset, and the word for what they hold
_COLUMNS = {
    "label": ("label", "labels", "class", "text", "caption", "prompt"),
    "prompt": ("prompt", "text", "caption"),
}


class Images(NamedTuple):
    """Some images.

    Attributes:
        pixels: [n, H, W, C] uint8.
        pictures: [n] their names and files.
        labels: [n] classes, as names or numbers, or prompts; None if nothing is known of any.
    """

    pixels: np.ndarray
    pictures: list[Picture]
    labels: list[Any] | None

    def some(self, rows: Sequence[int]) -> Images:
        """The images at these positions."""
        labels = self.labels and [self.labels[i] for i in rows]
        return Images(self.pixels[rows], [self.pictures[i] for i in rows], labels)

    def labelled(self, labels: Sequence[Any]) -> Images:
        """The images with these labels; None stands for none."""
        pictures = [
            Picture(one.name, one.path, None if label is None else str(label))
            for one, label in zip(self.pictures, labels, strict=True)
        ]
        kept = None if all(label is None for label in labels) else list(labels)
        return Images(self.pixels, pictures, kept)

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


def read(  # noqa: PLR0913 - the last three have defaults that few change
    images: Any,
    shape: tuple[int, int, int],
    what: str,
    labels: Any = None,
    reading: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    word: str = "label",
) -> Images:
    """Images of a folder, of files, of arrays or pictures of Pillow, or of a ``datasets.Dataset``.

    Args:
        images: The images.
        shape: (C, H, W) of the model.
        what: Name of the images, in the plural, for messages.
        labels: Their classes, one for each image, or one for all; the ``pathlib.Path`` of a CSV
            with the columns file and label, for the images of a folder; None: those of subfolders
            or of a Dataset's column.
        reading: resize, background, range, as in a ``data`` section; for files.
        skip_bad: Leave out files that cannot be read.
        word: What the model takes: "label", or "prompt". Then ``labels`` are prompts, a CSV has
            the column prompt, and names of subfolders are none.

    Raises:
        UserError: If images cannot be read, do not fit the model, or their number is not that of
            the labels.
    """
    if (paths := _paths(images)) is not None:
        found = _files(paths, shape, what, reading, skip_bad)
        found = found if word == "label" else found.labelled([None] * len(found.pixels))
    else:
        found = _arrays(images, shape, what, word)
    if labels is None:
        return found
    if isinstance(labels, Path):
        return found.labelled(_listed(found, paths, labels, word))
    # a single word or number is the class of all images
    given = [labels] if isinstance(labels, str) or np.ndim(labels) == 0 else list(labels)
    given = [label.item() if isinstance(label, np.generic) else label for label in given]
    given = given * len(found.pixels) if len(given) == 1 else given
    if len(given) != len(found.pixels):
        raise UserError(
            f"there are {len(given)} {word}s for {len(found.pixels)} {what}; give one for each"
        )
    return found.labelled(given)


def _listed(found: Images, paths: Sequence[Path] | None, table: Path, word: str) -> list[str]:
    """The label or prompt that a CSV gives to each image.

    Raises:
        UserError: If the images are not those of one folder, or one is not in the CSV.
    """
    if paths is None or len(paths) != 1 or not paths[0].expanduser().is_dir():
        raise UserError(
            f"the {word}s are in {table}, which names files of one folder, expected such a folder "
            f"as images; give a list of {word}s instead"
        )
    place = paths[0].expanduser()
    known = {
        str(place / name): text for name, text in label_tables.read(table, place, word).items()
    }
    names = [one.name for one in found.pictures]
    if absent := [name for name in names if name not in known]:
        raise UserError(
            f"{table} has no {word} of {len(absent)} of {len(names)} images: "
            f"{listed(absent, 10)}; add a row for each"
        )
    return [known[name] for name in names]


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
    if twice := [str(path) for path in paths if paths.count(path) > 1]:
        raise UserError(f"{twice[0]} is given twice; give each file once")
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


def _arrays(images: Any, shape: tuple[int, int, int], what: str, word: str) -> Images:
    labels, names = None, None
    if hasattr(images, "column_names"):
        images, labels, names = _dataset(images, what, _COLUMNS[word])
    pixels = arrays.images(images, shape, what)
    pictures = [Picture(f"image {i}") for i in range(len(pixels))]
    found = Images(pixels, pictures, None).labelled(labels or [None] * len(pixels))
    if names:  # the numbers are the classes, the names are shown
        shown = [Picture(one.name, one.path, names[int(one.label)]) for one in found.pictures]
        found = found._replace(pictures=shown)
    return found


def _dataset(
    rows: Any, what: str, columns: Sequence[str]
) -> tuple[list[Any], list[Any] | None, Sequence[str] | None]:
    """Pictures, labels and names of the labels of a ``datasets.Dataset``, by the first columns."""
    from PIL import Image

    first = rows[0] if len(rows) else {}
    column = next((name for name in first if isinstance(first[name], Image.Image)), None)
    if column is None:
        raise UserError(
            f"the {what} are a Dataset without a column of pictures (it has "
            f"{', '.join(rows.column_names) or 'none'}); cast one to datasets.Image()"
        )
    label = next((name for name in columns if name in rows.column_names), None)
    if label is None:
        return list(rows[column]), None, None
    names = getattr(getattr(rows, "features", {}).get(label), "names", None)
    return list(rows[column]), list(rows[label]), names
