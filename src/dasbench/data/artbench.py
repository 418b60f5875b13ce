"""ArtBench-10: 60 000 paintings of ten styles, 256 x 256 (Liao, Li, Liu, Keutzer, 2022).

Read from the official archive ``artbench-10-imagefolder-split.tar`` or its unpacked folder, with
``train/<style>/*.jpg`` and ``test/<style>/*.jpg``. Labels number the styles in alphabetical order.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dasbench.data import decode, files
from dasbench.errors import UserError

STYLES = (
    "art_nouveau",
    "baroque",
    "expressionism",
    "impressionism",
    "post_impressionism",
    "realism",
    "renaissance",
    "romanticism",
    "surrealism",
    "ukiyo_e",
)
NAMES = ("artbench-10-imagefolder-split", "artbench-10-imagefolder-split.tar")
_PARTS = {"train": files.TRAIN, "test": files.HELD_OUT}


def read(options: Mapping[str, Any]) -> files.Source:
    """Read and scale the paintings of the experiment's styles.

    Args:
        options: The ``data`` section, with its registry entry under ``about``.

    Returns:
        RGB images [n, size, size, 3], ordered by part, style and file name.

    Raises:
        UserError: If there is neither archive nor folder, the archive has another digest, a file is
            no picture, or pictures differ in size and ``data.size`` is not set.
    """
    path = _unpacked(options) or files.locate(options, NAMES)
    archive = path.is_file()
    digest = (
        files.check(path, options["about"]["files"].get(path.name, {}).get("sha256"))
        if archive
        else None
    )
    names = sorted(_placed(_names(path)), key=lambda entry: entry[1:])
    if not names:
        raise UserError(f"{path} holds no train/<style>/*.jpg; expected the official layout")
    labels = np.asarray([label for _, _, label, _ in names], np.int64)
    parts = np.asarray([part for _, part, _, _ in names], np.uint8)
    kept = files.chosen(labels, parts, options)
    rows = {names[i][0]: row for row, i in enumerate(kept)}
    images: list[np.ndarray | None] = [None] * len(kept)
    for name, data in _contents(path, rows):
        try:
            images[rows[name]] = decode.read(data, options["size"], options["resize"])
        except decode.UnreadableError as error:
            raise UserError(f"{path}: {name} is no picture ({error}); fetch it again") from error
    try:
        stacked = np.stack(images) if images else np.zeros((0, 1, 1, 3), np.uint8)
    except ValueError as error:
        raise UserError(f"{path}: pictures of different sizes; give data.size") from error
    record = {"archive": path.name, **({"archive_sha256": digest} if archive else {})}
    classes = {i: style.replace("_", " ") for i, style in enumerate(STYLES)}
    return files.Source(stacked, labels[kept], parts[kept], classes, record)


def _unpacked(options: Mapping[str, Any]) -> Path | None:
    """``data.path`` if it is a folder with the official layout, under any name; else None."""
    folder = Path(options["path"] or "").expanduser()
    return folder if options["path"] and all((folder / part).is_dir() for part in _PARTS) else None


def _placed(names: Iterator[str]) -> Iterator[tuple[str, int, int, str]]:
    """(name, part, label, file) of each name of the form train/<style>/<file> or test/..."""
    for name in names:
        pieces = PurePosixPath(name).parts[-3:]
        if len(pieces) == 3 and pieces[0] in _PARTS and pieces[1] in STYLES:  # noqa: PLR2004
            hidden = pieces[2].startswith(".")  # macOS adds hidden files to archives
            if not hidden and PurePosixPath(pieces[2]).suffix.lower() in decode.SUFFIXES:
                yield name, _PARTS[pieces[0]], STYLES.index(pieces[1]), pieces[2]


def _names(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from (p.relative_to(path).as_posix() for p in path.glob("*/*/*") if p.is_file())
        return
    with _tar(path) as archive:
        yield from (member.name for member in files.members(archive, path))


def _contents(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the named files; those of an archive in the order of its members."""
    if path.is_dir():
        yield from ((name, (path / name).read_bytes()) for name in names)
        return
    with _tar(path) as archive:
        for member in files.members(archive, path):
            if member.name in names:
                yield member.name, archive.extractfile(member).read()


def _tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path)
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch it again") from error
