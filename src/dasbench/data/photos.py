"""Patches of 16 photographs from two Debian packages of wallpapers; the photograph is the label.

``mate-backgrounds`` and ``plasma-workspace-wallpapers`` are found where Debian puts them, or
unpacked in ``data/sources/photos`` (``dpkg -x PACKAGE data/sources/photos``), or in ``data.path``.
A patch is a square of natural texture and seldom a whole object. The 16 are the photographs of both
packages in colour that have at least ``PATCHES`` patches with structure. Each of them is scaled so
that its long side holds ``ALONG`` patches, and cut into patches that do not overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dasbench import seeds
from dasbench.data import decode, files
from dasbench.errors import UserError

SIDE = 16  # pixels of a patch, unless ``data.size`` is set
ALONG = 16  # patches along the long side of a photograph
PATCHES = 80  # of each photograph
FLAT = 8.0  # of 255: a patch whose luminance has a smaller standard deviation is left out
_LUMINANCE = (0.299, 0.587, 0.114)
_MATE, _PLASMA = "mate-backgrounds", "plasma-workspace-wallpapers"
_PLACES = {
    _MATE: "backgrounds/mate/nature/{}.jpg",
    _PLASMA: "wallpapers/{}/contents/images/2560x1600.jpg",
}
_FOLDERS = (f"{files.FOLDER}/photos/usr/share", "/usr/share")


class Photograph(NamedTuple):
    """A photograph, its package and its author, as the package names both."""

    name: str
    package: str
    author: str

    @property
    def path(self) -> str:
        """Its file, relative to /usr/share."""
        return _PLACES[self.package].format(self.name)


# the position is the label; mate-backgrounds: debian/copyright, GPL-2+;
# plasma-workspace-wallpapers: metadata.json of each, LGPLv3 there, GPL-2+ in debian/copyright
PHOTOGRAPHS = (
    Photograph("Aqua", _MATE, "Charles Barbin"),
    Photograph("Blinds", _MATE, "Lennart Poettering, Andrea Cimitan"),
    Photograph("Dune", _MATE, "Marco Cogoni, Hylke Bons"),
    Photograph("FreshFlower", _MATE, "Jens Ansorg"),
    Photograph("Garden", _MATE, "Charles Barbin"),
    Photograph("GreenMeadow", _MATE, "Timothy Schellhase, Lapo Calamandrei"),
    Photograph("LadyBird", _MATE, "Charles Barbin"),
    Photograph("RainDrops", _MATE, "blackcombwhistler07"),
    Photograph("TwoWings", _MATE, "Charles Barbin, Hylke Bons"),
    Photograph("YellowFlower", _MATE, "Charles Barbin"),
    Photograph("BytheWater", _PLASMA, "Maciej Wiklo"),
    Photograph("ColorfulCups", _PLASMA, "Dmitri Popov"),
    Photograph("EveningGlow", _PLASMA, "Ian Hex"),
    Photograph("FallenLeaf", _PLASMA, "Martin Klapetek"),
    Photograph("OneStandsOut", _PLASMA, "Risto Saukonpää"),
    Photograph("Path", _PLASMA, "Risto Saukonpää"),
)


def read(options: Mapping[str, Any]) -> files.Source:
    """Cut patches from the photographs of the experiment's classes.

    Args:
        options: The ``data`` section, with its registry entry under ``about``; ``size`` is the side
            of a patch.

    Returns:
        Patches [n, size, size, 3], at most ``PATCHES`` of each photograph, in its reading order.
        There is no official split: all are in the training part.

    Raises:
        UserError: If a photograph is absent, damaged or another file than the package's.
    """
    side = options["size"] or SIDE
    patches, labels = [], []
    for label, photograph in enumerate(PHOTOGRAPHS):
        if options["classes"] != "all" and label not in options["classes"]:
            continue
        chosen = choose(cut(_picture(photograph, options), side), photograph.name)
        patches.append(chosen)
        labels.append(np.full(len(chosen), label, np.int64))
    joined = np.concatenate(labels)
    parts = np.full(len(joined), files.TRAIN, np.uint8)
    kept = files.chosen(joined, parts, options)
    classes = {label: photograph.name for label, photograph in enumerate(PHOTOGRAPHS)}
    return files.Source(
        np.concatenate(patches)[kept],
        joined[kept],
        parts[kept],
        classes,
        {"photographs": [photograph._asdict() for photograph in PHOTOGRAPHS]},
    )


def cut(picture: np.ndarray, side: int) -> np.ndarray:
    """Scale a photograph and cut it into squares that do not overlap.

    Args:
        picture: [H, W, 3] uint8.
        side: Pixels of a patch.

    Returns:
        [n, side, side, 3] uint8 in reading order; what is left at the right and below is not used.
    """
    height, width = picture.shape[:2]
    scale = ALONG * side / max(height, width)
    size = (max(side, round(width * scale)), max(side, round(height * scale)))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    rows, columns = (length // side for length in small.shape[:2])
    grid = small[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * columns, side, side, 3)


def choose(patches: np.ndarray, name: str) -> np.ndarray:
    """At most ``PATCHES`` patches with structure, drawn by the photograph's name, in their order.

    Args:
        patches: [n, side, side, 3] uint8.
        name: Of the photograph.
    """
    luminance = patches.reshape(len(patches), -1, 3) @ np.array(_LUMINANCE)  # [n, side * side]
    structured = np.flatnonzero(luminance.std(axis=1) >= FLAT)
    drawn = seeds.generator("photos", "patches", name).permutation(structured)[:PATCHES]
    return patches[np.sort(drawn)]


def _picture(photograph: Photograph, options: Mapping[str, Any]) -> np.ndarray:
    """A photograph at its own size, [H, W, 3] uint8."""
    path = _file(photograph, options)
    files.check(path, options["about"]["files"].get(f"{photograph.name}.jpg", {}).get("sha256"))
    try:
        return decode.read(path, None)
    except decode.UnreadableError as error:
        raise UserError(f"{path} is damaged ({error}): fetch it again from its source") from error


def _file(photograph: Photograph, options: Mapping[str, Any]) -> Path:
    """Path of a photograph: as in its package, or under its name alone."""
    names = [photograph.path, f"{photograph.name}.jpg"]
    return files.locate(options, names, _FOLDERS)
