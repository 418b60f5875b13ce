"""What the data sets that are read from files share: finding, believing and unpacking them.

Nothing here trusts a file: digests are compared before a byte is parsed, and members of an archive
that would leave its folder, or that are links or devices, are refused.
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

# where sources lie unless `data.path` names another place
FOLDER = "data/sources"
TRAIN, HELD_OUT = 0, 1
_CHUNK = 1 << 20  # bytes


def module(name: str) -> ModuleType:
    """The module of a data set, by its name: a file beside this one."""
    return importlib.import_module(f"{__package__}.{name}")


@dataclass(frozen=True)
class Source:
    """What was read.

    Attributes:
        images: [n, H, W, C] uint8, in the source's order.
        labels: [n] int64.
        parts: [n] uint8, TRAIN or HELD_OUT; a source without an official split is all TRAIN.
        classes: Label -> its name.
        read: What the card should tell of this reading, such as files that were left out.
    """

    images: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    classes: Mapping[int, str]
    read: Mapping[str, Any] = field(default_factory=dict)


def find(
    options: Mapping[str, Any], names: Sequence[str], usual: Sequence[str] = ()
) -> Path | None:
    """The first of the named files or folders that is there, or None.

    Args:
        options: The ``data`` section: ``dataset``, ``path`` and ``about``, its registry entry.
        names: Names in order of preference, looked for in each place.
        usual: Further folders to look in, such as those of a Debian package.
    """
    if options["path"]:
        given = Path(options["path"]).expanduser()
        places = [given.parent] if given.name in names else [given]
    else:
        places = [Path(FOLDER, options["dataset"]), *map(Path, usual)]
    for place in places:
        for name in names:
            if (place / name).exists():
                return place / name
    return None


def locate(options: Mapping[str, Any], names: Sequence[str], usual: Sequence[str] = ()) -> Path:
    """As ``find``, for data that must be there.

    Raises:
        UserError: If none is there: what to fetch, its size and licence, and where to put it.
    """
    path = find(options, names, usual)
    if path is None:
        raise UserError(absent(options, names))
    return path


def absent(options: Mapping[str, Any], names: Sequence[str]) -> str:
    """The sentence for data that is not here."""
    about = options["about"]
    place = options["path"] or f"{FOLDER}/{options['dataset']}"
    return (
        f"{about['name']} is not here: fetch {about['fetch']} ({about['size']}; licence: "
        f"{about['licence']}) and put {' or '.join(names)} into {place}, or name its folder in "
        "data.path of the experiment file"
    )


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file."""
    made = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            made.update(chunk)
    return made.hexdigest()


def check(path: Path, expected: str | None) -> str:
    """Compare a file with its published digest.

    Args:
        path: The file.
        expected: SHA-256, or None where nobody has published one.

    Returns:
        The file's SHA-256.

    Raises:
        UserError: If they differ.
    """
    found = digest(path)
    if expected is not None and found != expected:
        raise UserError(
            f"{path} has the SHA-256 {found}, expected {expected}: fetch it again from its source"
        )
    return found


def members(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The plain files of an archive, in its order; nothing is unpacked to the disk.

    Raises:
        UserError: If a member would leave the archive's folder, or is a link or a device.
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
    """At most ``limit`` positions of ``count``, evenly spread, ascending."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit


def chosen(labels: np.ndarray, parts: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """Positions of the wanted classes, at most ``limit`` of each part, in the source's order.

    Args:
        labels: [n] int64.
        parts: [n] uint8.
        options: The ``data`` section: ``classes`` ("all" or labels), ``limit``.
    """
    wanted = np.ones(len(labels), bool)
    if options["classes"] != "all":
        wanted = np.isin(labels, options["classes"])
    found = [np.flatnonzero(wanted & (parts == part)) for part in np.unique(parts)]
    return np.sort(
        np.concatenate([p[spread(len(p), options["limit"])] for p in found] or [[]])
    ).astype(np.int64)


def safe_name(name: str) -> str:
    """A name from a file, fit for a table: printable and short."""
    return re.sub(r"[^\w ./,()+-]", "_", name)[:80]
