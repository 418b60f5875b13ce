"""ArtBench-10: 60 000 paintings of ten styles, 256 x 256 (Liao, Li, Liu, Keutzer, 2022).

The official archive ``artbench-10-imagefolder-split.tar`` or the folder it unpacks to:
``train/<style>/*.jpg`` and ``test/<style>/*.jpg``. Labels number the styles by the alphabet.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
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
    """Paintings of the wanted styles, scaled.

    Args:
        options: The ``data`` section, with its registry entry under ``about``.

    Returns:
        RGB images [n, size, size, 3], ordered by part, style and file name.

    Raises:
        UserError: If there is neither archive nor folder, or a file in it is no picture.
    """
    path = _unpacked(options) or files.locate(options, NAMES)
    archive = path.is_file()
    found = (
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
    wanted = {names[i][0]: place for place, i in enumerate(kept)}
    images: list[np.ndarray | None] = [None] * len(kept)
    for name, data in _contents(path, wanted):
        try:
            images[wanted[name]] = decode.read(data, options["size"], options["resize"])
        except decode.UnreadableError as error:
            raise UserError(f"{path}: {name} is no picture ({error}); fetch it again") from error
    try:
        stacked = np.stack(images) if images else np.zeros((0, 1, 1, 3), np.uint8)
    except ValueError as error:
        raise UserError(f"{path}: pictures of different sizes; give data.size") from error
    read_ = {"archive": path.name, **({"archive_sha256": found} if archive else {})}
    classes = {i: style.replace("_", " ") for i, style in enumerate(STYLES)}
    return files.Source(stacked, labels[kept], parts[kept], classes, read_)


def _unpacked(options: Mapping[str, Any]) -> Path | None:
    """``data.path`` itself, where it is a folder with the official layout under another name."""
    given = Path(options["path"] or "").expanduser()
    return given if options["path"] and all((given / part).is_dir() for part in _PARTS) else None


def _placed(names: Iterator[str]) -> Iterator[tuple[str, int, int, str]]:
    """(name, part, label, file) of the names that are train/<style>/<file> or test/..."""
    for name in names:
        pieces = PurePosixPath(name).parts[-3:]
        if len(pieces) == 3 and pieces[0] in _PARTS and pieces[1] in STYLES:  # noqa: PLR2004
            hidden = pieces[2].startswith(".")  # what macOS puts beside a file in an archive
            if not hidden and PurePosixPath(pieces[2]).suffix.lower() in decode.SUFFIXES:
                yield name, _PARTS[pieces[0]], STYLES.index(pieces[1]), pieces[2]


def _names(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from (p.relative_to(path).as_posix() for p in path.glob("*/*/*") if p.is_file())
        return
    with _tar(path) as archive:
        yield from (member.name for member in files.members(archive, path))


def _contents(path: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes, in the order in which they lie there."""
    if path.is_dir():
        yield from ((name, (path / name).read_bytes()) for name in wanted)
        return
    with _tar(path) as archive:
        for member in files.members(archive, path):
            if member.name in wanted:
                yield member.name, archive.extractfile(member).read()


def _tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path)
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch it again") from error
