"""An array in many files, one for each chunk of rows; the name of a file has the hash of its bytes.

A chunk is written whole or not at all, so several processes may each write some chunks of one
array, and a process that was killed goes on where it stopped. A damaged chunk no longer matches its
name. Files are plain ``.npy``. Shapes: N rows of P numbers.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.core import artifacts
from dasbench.core.writing import staging
from dasbench.errors import UserError, first_line

_DIGITS = 16  # of the hash in a name
_CHUNK = re.compile(rf"(\d{{9,}})-[0-9a-f]{{{_DIGITS}}}\.npy")


def digest(path: Path) -> str:
    """The first digits of the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:_DIGITS]


def named(path: Path) -> Path | None:
    """The file that ``save`` wrote for this path, ``<stem>-<hash>.npy``; None if there is none."""
    return next(iter(sorted(path.parent.glob(f"{path.stem}-*.npy"))), None)


def save(path: Path, array: np.ndarray, keep: bool = False) -> Path:
    """Write an array as ``<stem>-<hash>.npy``.

    Args:
        path: ``<stem>.npy``.
        array: The array.
        keep: Whether another array with this stem stays, too.

    Returns:
        The file.

    Raises:
        UserError: If the file system refuses.
    """
    with staging(path.parent, path) as folder:  # of this process alone: others may write it, too
        file = folder / path.name
        with file.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        target = file.replace(path.with_name(f"{path.stem}-{digest(file)}.npy"))
    for old in [] if keep else path.parent.glob(f"{path.stem}-*.npy"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def is_sound(path: Path) -> bool:
    """Whether the file of this path is there, and its bytes have the hash in its name."""
    file = named(path)
    return file is not None and matches(file)


def matches(file: Path) -> bool:
    """Whether the bytes of a file have the hash in its name, ``<stem>-<hash>.npy``."""
    return file.stem.rpartition("-")[2] == digest(file)


class Chunks:
    """An array [N, P] of chunks; slices of rows are read from their files.

    Args:
        folder: Folder of the files.
        rows: Consecutive slices that cover 0 … N - 1.
        width: P.
        dtype: Type of the stored numbers.

    Attributes:
        shape: (N, P).
    """

    def __init__(self, folder: Path, rows: Sequence[slice], width: int, dtype: Any):
        """Keep the layout; no file is opened."""
        self.folder, self.rows, self.dtype = folder, list(rows), np.dtype(dtype)
        self.shape = (self.rows[-1].stop if self.rows else 0, width)

    def __len__(self) -> int:
        """N."""
        return self.shape[0]

    @property
    def paths(self) -> list[Path]:
        """The paths of the chunks, without their hashes."""
        return [self._path(rows) for rows in self.rows]

    def missing(self) -> list[slice]:
        """Chunks that are not there, or whose bytes do not match their names."""
        self.__dict__.pop("_files", None)  # another process may have written some
        return [rows for rows in self.rows if not is_sound(self._path(rows))]

    def save(self, rows: slice, values: np.ndarray) -> None:
        """Write one chunk.

        Raises:
            UserError: If a number is not finite or too large for the type, or the disk is full.
        """
        with np.errstate(over="ignore"):
            stored = values.astype(self.dtype)
        if not np.isfinite(stored).all():
            bad = rows.start + int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])
            raise UserError(
                f"the features of image {bad} are not finite, or too large for {self.dtype}: the "
                "network gives no numbers there, or numbers unlike those of the other images; its "
                "weights and its noise process may not fit together"
            )
        self.__dict__.pop("_files", None)
        save(self._path(rows), stored)

    def load(self, rows: slice) -> np.ndarray:
        """One chunk, mapped.

        Raises:
            UserError: If it is missing or damaged.
        """
        file = self._files.get(rows.start, self._path(rows))
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"{file} is missing or damaged ({first_line(error)}); build the index again, which "
                "computes it again"
            ) from error
        # `save` refuses numbers that are not finite; looking again takes longer than using them
        shape = (rows.stop - rows.start, self.shape[1])
        artifacts.check(file, array, shape, self.dtype, finite=False)
        return array

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, mapped chunk), in order."""
        for rows in self.rows:
            yield rows, self.load(rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Consecutive rows, in the stored type."""
        start, stop, _ = part.indices(len(self))
        pieces = [
            self.load(rows)[max(start - rows.start, 0) : stop - rows.start]
            for rows in self.rows
            if rows.start < stop and rows.stop > start
        ]
        return np.concatenate(pieces) if pieces else np.empty((0, self.shape[1]), self.dtype)

    def names(self) -> list[str]:
        """Names of the files, which stand for their content.

        Raises:
            UserError: If a chunk is missing.
        """
        for rows in self.rows:
            if rows.start not in self._files:
                raise UserError(
                    f"{self.folder} has no features of images {rows.start} to {rows.stop - 1}; "
                    "build the index again, which computes what is missing"
                )
        return [self._files[rows.start].name for rows in self.rows]

    def _path(self, rows: slice) -> Path:
        """The path of a chunk, without its hash."""
        return self.folder / f"{rows.start:09d}.npy"

    @functools.cached_property
    def _files(self) -> dict[int, Path]:
        """First row -> file, of the chunks that are there."""
        found = {}
        for file in self.folder.glob("*-*.npy"):
            if match := _CHUNK.fullmatch(file.name):  # a file manager may leave others
                found[int(match[1])] = file
        return found
