"""Compute the rows of an array in chunks, and continue with the finished chunks after a kill.

A chunk is a file in a hidden folder beside the finished array. The folder's name has a fingerprint
of everything that the rows depend on. So chunks of another model, other settings or other code are
never reused; they are deleted. Several processes may each compute some of the chunks.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dasbench.core import artifacts, memmaps


def fingerprint(*parts: str | Path) -> str:
    """A hash of texts and of the content of files.

    Raises:
        OSError: If a file cannot be read.
    """
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:16]


class Store:
    """The chunks of some arrays that become files of one folder.

    Args:
        folder: Folder of the finished arrays, ``<name>.npy``.
        mark: From ``fingerprint``.
    """

    def __init__(self, folder: Path, mark: str):
        """Make the hidden folder."""
        self.folder, self.parts = folder, folder / f".chunks-{mark}"
        self.parts.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove chunks of other settings, models or code from the folder."""
        for other in self.folder.glob(".chunks-*"):
            if other != self.parts:
                shutil.rmtree(other)

    def has(self, name: str, rows: slice) -> bool:
        """Whether these rows are finished."""
        return self._file(name, rows).is_file()

    def save(self, name: str, rows: slice, chunk: np.ndarray) -> None:
        """Save finished rows [len(rows), P]; the file is written whole or not at all."""
        artifacts.save_array(self._file(name, rows), chunk)

    def join(self, name: str, all_rows: Iterable[slice], shape: tuple[int, int]) -> None:
        """Write the whole float32 array from its chunks, with one chunk in memory at a time.

        Raises:
            UserError: If a chunk is missing or damaged.
        """
        with memmaps.create(self.folder / f"{name}.npy", shape, np.float32) as whole:
            for rows in all_rows:
                count = rows.stop - rows.start
                whole[rows] = memmaps.load(self._file(name, rows), (count, shape[1]), np.float32)

    def clear(self) -> None:
        """Remove the chunks, once the arrays are written."""
        shutil.rmtree(self.parts)

    def _file(self, name: str, rows: slice) -> Path:
        return self.parts / f"{name}-{rows.start:09d}.npy"
