"""Find, check and unpack the files of data sets.

No file is trusted. The digest of a file is checked before its content is parsed. A member of an
archive is refused if it is a link or a device, or if its path leads out of the archive's folder.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np

from dasbench.errors import UserError

# folder of the data sets' files, unless `data.path` names another one
FOLDER = "data/sources"
TRAIN, HELD_OUT = 0, 1
_CHUNK = 1 << 20  # bytes


def module(name: str) -> ModuleType:
    """Import the module of a data set: the file ``name`` in this folder."""
    return importlib.import_module(f"{__package__}.{name}")


@dataclass(frozen=True)
class Source:
    """Images of a data set that is read from files.

    Attributes:
        images: [n, H, W, C] uint8, in the source's order.
        labels: [n] int64.
        parts: [n] uint8, TRAIN or HELD_OUT; all TRAIN if the data set has no official split.
        classes: Label -> its name.
        read: Facts about this reading for the data card, such as digests or skipped files.
    """

    images: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    classes: Mapping[int, str]
    read: Mapping[str, Any] = field(default_factory=dict)


def find(
    options: Mapping[str, Any], names: Sequence[str], usual: Sequence[str] = ()
) -> Path | None:
    """The first of the named files or folders that exists, or None.

    Args:
        options: The ``data`` section: ``dataset``, ``path`` and ``about``, its registry entry.
        names: Names of files or folders, in order of preference.
        usual: Further folders to search, such as that of a Debian package.
    """
    if options["path"]:
        path = Path(options["path"]).expanduser()
        folders = [path.parent] if path.name in names else [path]
    else:
        folders = [Path(FOLDER, options["dataset"]), *map(Path, usual)]
    for folder in folders:
        for name in names:
            if (folder / name).exists():
                return folder / name
    return None


def locate(options: Mapping[str, Any], names: Sequence[str], usual: Sequence[str] = ()) -> Path:
    """As ``find``, but absent data are an error.

    Raises:
        UserError: If none of the names exists. The message says what to fetch, its size and
            licence, and where to put it.
    """
    path = find(options, names, usual)
    if path is None:
        raise UserError(absent(options, names))
    return path


def absent(options: Mapping[str, Any], names: Sequence[str]) -> str:
    """Message about absent data: what to fetch, its size and licence, and where to put it."""
    about = options["about"]
    place = options["path"] or f"{FOLDER}/{options['dataset']}"
    return (
        f"{about['name']} is not here: fetch {about['fetch']} ({about['size']}; licence: "
        f"{about['licence']}) and put {' or '.join(names)} into {place}, or name its folder in "
        "data.path of the experiment file"
    )


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file."""
    total = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def check(path: Path, expected: str | None) -> str:
    """Compare a file with its published digest.

    Args:
        path: The file.
        expected: Published SHA-256, or None if there is none.

    Returns:
        The file's SHA-256.

    Raises:
        UserError: If the digests differ.
    """
    sha256 = digest(path)
    if expected is not None and sha256 != expected:
        raise UserError(
            f"{path} has the SHA-256 {sha256}, expected {expected}: fetch it again from its source"
        )
    return sha256


def members(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the plain files of an archive, in its order; nothing is unpacked to the disk.

    Raises:
        UserError: If a member is a link or a device, or its path leads out of the archive's folder.
    """
    for member in archive:
        parts = PurePosixPath(member.name).parts
        if member.name.startswith("/") or ".." in parts or "\\" in member.name:
            raise UserError(
                f"{path} holds {member.name!r}, a path that leads out of it: do not use it"
            )
        if member.isdir():
            continue
        if not member.isfile():
            raise UserError(f"{path} holds {member.name!r}, a link or a device: do not use it")
        yield member


def spread(count: int, limit: int | None) -> np.ndarray:
    """At most ``limit`` of the positions 0 … count - 1, evenly spread and ascending.

    Returns:
        [min(count, limit)] int64; all positions if ``limit`` is None.
    """
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit


def chosen(labels: np.ndarray, parts: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """Positions of images of ``data.classes``, at most ``data.limit`` of each part.

    Args:
        labels: [n] int64.
        parts: [n] uint8.
        options: The ``data`` section: ``classes`` ("all" or labels), ``limit``.

    Returns:
        int64, ascending.
    """
    in_classes = np.ones(len(labels), bool)
    if options["classes"] != "all":
        in_classes = np.isin(labels, options["classes"])
    by_part = [np.flatnonzero(in_classes & (parts == part)) for part in np.unique(parts)]
    return np.sort(
        np.concatenate([p[spread(len(p), options["limit"])] for p in by_part] or [[]])
    ).astype(np.int64)


def safe_name(name: str, length: int = 80) -> str:
    """Make a name from a file safe to show in a table: printable and short."""
    return re.sub(r"[^\w ./,;:=()+-]", "_", name)[:length]
