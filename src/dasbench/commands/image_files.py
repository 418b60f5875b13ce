"""Image files that ``./run attribute`` is given, read at the size of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.data import folder, pictures
from dasbench.errors import UserError

RESIZE = ("crop", "pad", "stretch")
READING = {"resize": "crop", "background": (255, 255, 255), "range": None}


def read_images(
    paths: Sequence[Path], shape: tuple[int, int, int], data: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Images [n, H, W, C] uint8 of files, at the size of the model; see ``read``."""
    return read({str(path): path for path in paths}, shape, data)[0]


def read(
    named: Mapping[str, Path],
    shape: tuple[int, int, int],
    data: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Read image files as the data set ``folder`` does, at the size of the model.

    What was done to them is printed: cropped ones, animations, identical ones.

    Args:
        named: Name to show -> image file.
        shape: (C, H, W) of the model; 1 channel reads as grey, 3 as RGB.
        data: The experiment's ``data`` section, for its ``resize``, ``background`` and ``range``;
            None for the defaults of the reader (crop, white). CelebA's crop to 140 pixels is not
            repeated, because most queries are samples of the model, which look cropped already.
        skip_bad: Leave out files that cannot be read, and name them.

    Returns:
        Images [n, H, W, C] uint8, and their names.

    Raises:
        UserError: If files are missing or not images, or do not fit the shape; all are named.
    """
    channels, height, width = shape
    # the reader makes squares; for a model that is not square, the file must have its size
    fit = {**READING, **{key: data[key] for key in READING if data and key in data}}
    fit |= {"size": height if height == width else None, "channels": 1 if channels == 1 else 3}
    found = pictures.read_all(named, fit, whole=False)
    bad = found.bad
    if bad and not skip_bad:
        raise UserError(
            f"{len(bad)} files cannot be read as images: "
            f"{'; '.join(f'{pictures.shown(name)} ({why})' for name, why in bad)}; mend them, or "
            "leave them out by --skip-bad"
        )
    pictures.refuse("", bad, skip=True)
    names = [list(named)[i] for i in found.good]
    if not names:
        raise UserError("no image is left that can be read; give PNG or JPEG files")
    for name, image in zip(names, found.images, strict=True):
        if image.shape != (height, width, channels):
            squares = "; --resize makes squares alone" if height != width else ""
            raise UserError(
                f"{name} reads as (height, width, channels) {image.shape}, the model works on "
                f"{(height, width, channels)}{squares}; give images of that form"
            )
    for note in found.notes:
        print(f"note: {note}")
    return np.stack(list(found.images)), names


def below(paths: Sequence[Path], what: str, tell: bool = True) -> dict[str, Path]:
    """Name to show -> file, for files and for the pictures in folders.

    Args:
        paths: The files and folders.
        what: Beginning of the sentence about missing paths.
        tell: Whether to print what folders hold besides pictures.

    Raises:
        UserError: If paths are missing, all of which are named, or a folder holds no picture.
    """
    if missing := [str(path) for path in paths if not path.exists() and not path.is_symlink()]:
        raise UserError(f"{what} missing: {pictures.listed(missing, 10)}; check the paths")
    files: dict[str, Path] = {}
    for path in paths:
        if not path.is_dir():
            files[str(path)] = path
            continue
        listing = folder.listing(path)
        inside = [*listing.label_of, *(name for name, _ in listing.bad)]
        if not inside:
            raise UserError(f"{path} holds no image files; expected PNG, JPEG or the like")
        files |= {str(path / name): path / name for name in sorted(inside)}
        for note in listing.notes if tell else ():
            print(f"note: {path}: {note}")
    return files
