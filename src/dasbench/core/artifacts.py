"""Read and write the benchmark's files: atomic writes, checked reads, no pickle.

``dasbench.core.writing`` writes a file whole or not at all. A loader checks the content of a file.
Its error names the fault and the command that makes the file again. Loading a file here cannot run
code: ``.npy`` and ``.npz`` are read with ``allow_pickle=False``.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.core.blocks import memory_blocks
from dasbench.core.writing import atomic, write_text
from dasbench.errors import UserError, first_line


@dataclass(frozen=True)
class Examples:
    """Images of one split.

    Attributes:
        images: [N, H, W, C] uint8, 0 is black (-1 for the model), 255 is white (+1).
        labels: [N] int64.
        ids: [N] int64, positions in the data set's pool; unique.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Write one array as a plain ``.npy``.

    Raises:
        UserError: If the file system refuses.
    """
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)


def load_array(
    path: str | Path,
    shape: tuple[int | None, ...] | None = None,
    dtype: Any = None,
    finite: bool = True,
) -> np.ndarray:
    """Read a ``.npy`` and check it.

    Args:
        path: The file.
        shape: Expected shape; None stands for any size of that axis.
        dtype: Expected dtype.
        finite: Whether NaN and infinities are refused.

    Returns:
        The array.

    Raises:
        UserError: If the file is missing, is not a plain array, or has another shape or dtype, or
            numbers that are not finite.
    """
    array = read(path, _npy)
    check(path, array, shape, dtype, finite)
    return array


def save_examples(
    path: str | Path, images: np.ndarray, labels: np.ndarray, ids: np.ndarray
) -> None:
    """Write a split as ``.npz`` with the keys images, labels, ids (see ``Examples``)."""
    arrays = {
        "images": np.asarray(images, np.uint8),
        "labels": np.asarray(labels, np.int64),
        "ids": np.asarray(ids, np.int64),
    }
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # uncompressed: zlib's bytes differ from version to version


def load_examples(path: str | Path) -> Examples:
    """Read and check a split.

    Raises:
        UserError: If the file is missing, damaged, or its arrays do not fit together.
    """
    content = read(path, _npz)
    if set(content) != {"images", "labels", "ids"}:
        raise UserError(
            f"{path} holds {sorted(content)}, not images, labels and ids: {remake(path)}"
        )
    n = len(content["images"])
    check(path, content["images"], (n, None, None, None), np.uint8, False)
    check(path, content["labels"], (n,), np.int64, False)
    check(path, content["ids"], (n,), np.int64, False)
    if len(np.unique(content["ids"])) != n:
        raise UserError(f"{path} has an id twice: {remake(path)}")
    return Examples(**content)


def save_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys and a final newline: equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def load_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        UserError: If the file is missing or no JSON.
    """
    return read(path, lambda data: json.loads(data.read().decode()))


def remake(path: str | Path) -> str:
    """End of a sentence about a missing or damaged file: how to get it.

    For a file of the workflow this is a command. Every other file comes from the user.
    """
    path = Path(path)
    if home := experiment_of(path):
        if not home.is_dir():
            return (
                f"{home.name} has not been run here; make it with ./run {home.name}, or fetch it "
                f"with ./run pull {home.name}"
            )
        return (
            f"remake it with ./run {home.name} --forcerun {path}, or fetch it with ./run pull "
            f"{home.name}"
        )
    if path.name == "pool.npz" and path.parent.parent.name == "data":
        return f"remake it with ./run --forcerun {path}, or fetch it with ./run pull"
    return "the workflow does not make it, so write it or copy it again"


def experiment_of(path: str | Path) -> Path | None:
    """Folder of the experiment, ``results/E``, that a file belongs to; None for other files."""
    parts = Path(path).parts
    for i, part in enumerate(parts[:-1]):
        file = Path("config", "experiments", f"{parts[i + 1]}.yaml")
        if part == "results" and (file.is_file() or Path(*parts[:i], file).is_file()):
            return Path(*parts[: i + 2])
    return None


def read(path: str | Path, parse: Any) -> Any:
    """Parse a file.

    Args:
        path: The file.
        parse: Function of a binary stream of the file's bytes.

    Returns:
        The value that ``parse`` returns.

    Raises:
        UserError: If the file is missing, or ``parse`` fails in any way.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing: {remake(path)}")
    try:
        return parse(io.BytesIO(path.read_bytes()))
    # one flipped bit makes the parsers raise anything from zlib.error to tokenize.TokenError
    except Exception as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): {remake(path)}") from error


def _npy(data: io.BytesIO) -> np.ndarray:
    loaded = np.load(data, allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        raise ValueError("an npz archive, not one array")
    if data.read(1):
        raise ValueError("bytes after the end of the array")
    return loaded


def _npz(data: io.BytesIO) -> dict[str, np.ndarray]:
    loaded = np.load(data, allow_pickle=False)
    if not hasattr(loaded, "files"):
        raise ValueError("not an npz archive")
    return {name: loaded[name] for name in loaded.files}


def check(
    path: str | Path,
    array: np.ndarray,
    shape: tuple[int | None, ...] | None = None,
    dtype: Any = None,
    finite: bool = True,
) -> None:
    """Check an array that was read from ``path``; its numbers are checked a block at a time.

    Args:
        path: The file, for the message.
        array: The array; it may be memory-mapped.
        shape: Expected shape; None stands for any size of that axis.
        dtype: Expected dtype.
        finite: Whether NaN and infinities are refused.

    Raises:
        UserError: If the shape or dtype differs, or a number is not finite.
    """
    if shape is not None:
        fits = len(shape) == array.ndim and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            expected = ", ".join("any" if s is None else str(s) for s in shape)
            raise UserError(
                f"{path} has shape {array.shape}, expected ({expected}): {remake(path)}"
            )
    if dtype is not None and array.dtype != np.dtype(dtype):
        raise UserError(
            f"{path} has dtype {array.dtype}, expected {np.dtype(dtype)}: {remake(path)}"
        )
    if finite and array.dtype.kind == "f":
        rows = np.atleast_1d(array)
        parts = memory_blocks(len(rows), rows[:1].nbytes)
        bad = sum(int((~np.isfinite(rows[part])).sum()) for part in parts)
        if bad:
            raise UserError(
                f"{path} has {bad} values that are not finite, expected none: {remake(path)}"
            )
