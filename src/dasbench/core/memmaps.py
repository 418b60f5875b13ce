"""Arrays larger than memory: map files instead of reading them.

A mapped file uses page cache, which the operating system can take back, so a job needs memory for
one block only. As in ``dasbench.core.artifacts``, files are plain ``.npy``, writes are atomic,
reads are checked, and an error is one sentence.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.core import artifacts
from dasbench.core.blocks import memory_blocks
from dasbench.core.writing import atomic
from dasbench.errors import UserError, first_line


def norms(vectors: np.ndarray) -> np.ndarray:
    """Euclidean norms of the rows of [n, P], computed a block at a time: [n] float64."""
    lengths = np.empty(len(vectors))
    for rows in memory_blocks(len(vectors), 8 * vectors.shape[1]):
        lengths[rows] = np.linalg.norm(np.asarray(vectors[rows], np.float64), axis=1)
    return lengths


def load(path: str | Path, shape: tuple[int | None, ...], dtype: Any = None) -> np.ndarray:
    """Map a ``.npy`` for reading and check it as ``artifacts.load_array`` does.

    Args:
        path: The file.
        shape: Expected shape; None stands for any size of that axis.
        dtype: Expected dtype; None for any.

    Returns:
        A read-only array whose numbers stay in the file.

    Raises:
        UserError: If the file is missing or damaged, or has another shape or dtype, or numbers that
            are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing: {artifacts.remake(path)}")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        spare = path.stat().st_size - array.offset - array.nbytes
        if spare:
            raise ValueError(f"{spare} bytes after the end of the array")
    # one flipped bit makes the parser raise anything from OverflowError to tokenize.TokenError
    except Exception as error:
        raise UserError(
            f"{path} is damaged ({first_line(error)}): {artifacts.remake(path)}"
        ) from error
    artifacts.check(path, array, shape, dtype)
    return array


@contextlib.contextmanager
def create(path: str | Path, shape: tuple[int, ...], dtype: Any) -> Iterator[np.ndarray]:
    """Yield an array to fill in place; when the block succeeds, rename its file to ``path``.

    The file has the same bytes as ``artifacts.save_array`` of the full array. Disk space is
    allocated first: on a full disk, a write to a mapped file would kill the process instead of
    raising an error.

    Raises:
        UserError: If the disk is full, or the folder cannot be written.
    """
    with atomic(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate") and temporary.stat().st_size:
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        yield array
        array.flush()
