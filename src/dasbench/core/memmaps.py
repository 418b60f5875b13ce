"""Arrays larger than memory: files are mapped instead of read.

A mapped file costs address space and page cache, which the system takes back when it needs it; what
a job must hold is one block. Like ``dasbench.core.artifacts``: plain ``.npy``, atomic, checked on
the way in, one sentence when something is wrong.
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
    """Lengths of the rows of [n, P], [n] float64, a block at a time."""
    found = np.empty(len(vectors))
    for rows in memory_blocks(len(vectors), 8 * vectors.shape[1]):
        found[rows] = np.linalg.norm(np.asarray(vectors[rows], np.float64), axis=1)
    return found


def load(path: str | Path, shape: tuple[int | None, ...], dtype: Any = None) -> np.ndarray:
    """Map a ``.npy`` for reading and check it as ``artifacts.load_array`` does.

    Args:
        path: The file.
        shape: Expected shape; None stands for any size of that axis.
        dtype: Expected dtype; None for any.

    Returns:
        A read-only array whose numbers stay in the file.

    Raises:
        UserError: If the file is missing, damaged, not what was expected, or not finite.
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
    """Give an array to fill in place and rename it to ``path`` when the block succeeds.

    The same bytes as ``artifacts.save_array`` of the full array. Room is taken beforehand: on a
    full disk a mapped write would kill the process instead of raising an error.

    Raises:
        UserError: If there is no room, or the folder cannot be written.
    """
    with atomic(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate") and temporary.stat().st_size:
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        yield array
        array.flush()
