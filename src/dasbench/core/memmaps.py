"""Arrays larger than memory: files mapped instead of read, and how to walk them in blocks.

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
from dasbench.errors import UserError

BLOCK = 2**26  # bytes: large enough for full speed of matrix products, small beside any memory


def blocks(count: int, row_bytes: int, memory: int = BLOCK) -> Iterator[slice]:
    """Slices that cover 0 … count - 1, each of at most ``memory`` bytes, but at least one row.

    Args:
        count: Number of rows.
        row_bytes: Size of a row as the caller will hold it, such as 8 P for float64.
        memory: Bytes of one block.
    """
    step = max(1, memory // max(1, row_bytes))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def norms(vectors: np.ndarray) -> np.ndarray:
    """Lengths of the rows of [n, P], [n] float64, a block at a time."""
    found = np.empty(len(vectors))
    for rows in blocks(len(vectors), 8 * vectors.shape[1]):
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
        told = artifacts.first_line(error)
        raise UserError(f"{path} is damaged ({told}): {artifacts.remake(path)}") from error
    _check(path, array, shape, dtype)
    return array


@contextlib.contextmanager
def create(path: str | Path, shape: tuple[int, ...], dtype: Any) -> Iterator[np.ndarray]:
    """Give an array to fill in place and rename it to ``path`` when the block succeeds.

    The same bytes as ``artifacts.save_array`` of the full array. Room is taken beforehand: on a
    full disk a mapped write would kill the process instead of raising an error.

    Raises:
        UserError: If there is no room, or the folder cannot be written.
    """
    with artifacts.atomic(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate") and temporary.stat().st_size:
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        yield array
        array.flush()


def _check(path: Path, array: np.ndarray, shape: tuple[int | None, ...], dtype: Any) -> None:
    fits = len(shape) == array.ndim and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    remedy = artifacts.remake(path)
    if not fits:
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        raise UserError(f"{path} has shape {array.shape}, expected ({wanted}): {remedy}")
    if dtype is not None and array.dtype != np.dtype(dtype):
        raise UserError(f"{path} has dtype {array.dtype}, expected {np.dtype(dtype)}: {remedy}")
    if array.dtype.kind == "f":
        row_bytes = array[:1].nbytes
        bad = sum(int((~np.isfinite(array[b])).sum()) for b in blocks(len(array), row_bytes))
        if bad:
            raise UserError(f"{path} has {bad} values that are not finite, expected none: {remedy}")
