"""CIFAR-10: 60 000 colour photographs of ten kinds of things, 32 x 32 (Krizhevsky, 2009).

Both official archives are read: the binary one (label, then red, green and blue planes), and the
python one, whose batches are pickles and are read without unpickling (``batches``).
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dasbench.data import batches, decode, files
from dasbench.errors import UserError

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
# data_batch_1.bin ... data_batch_5.bin and test_batch.bin; without .bin in the python archive
_BATCH = re.compile(r"data_batch_([1-9])(\.bin)?|test_batch(\.bin)?")
_SIDE, _PLANES = 32, 3
_PIXELS = _PLANES * _SIDE * _SIDE


def read(options: Mapping[str, Any]) -> files.Source:
    """The wanted classes, scaled if asked.

    Args:
        options: The ``data`` section, with its registry entry under ``about``.

    Returns:
        RGB images [n, 32, 32, 3]; the batches 1 to 5 are the training part, test_batch is held out.

    Raises:
        UserError: If the archive is absent, not the published one, or damaged.
    """
    path = files.locate(options, ARCHIVES)
    published = options["about"]["files"].get(path.name, {})
    found = files.check(path, published.get("sha256"))
    try:
        read_batches = sorted(_batches(path))
    except (OSError, EOFError, zlib.error, tarfile.TarError, batches.Refused) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch it again") from error
    if not read_batches:
        raise UserError(f"{path} holds no batch of CIFAR-10; expected one of {', '.join(ARCHIVES)}")
    sizes = [len(labels) for _, labels, _ in read_batches]
    held_out = [name.startswith("test") for name, _, _ in read_batches]
    parts = np.repeat(np.asarray(held_out, np.uint8), sizes)
    labels = np.concatenate([labels for _, labels, _ in read_batches])
    kept = files.chosen(labels, parts, options)
    rows = np.concatenate([rows for _, _, rows in read_batches])[kept]
    images = rows.reshape(-1, _PLANES, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return files.Source(
        decode.resized(np.ascontiguousarray(images), options["size"], options["resize"]),
        labels[kept],
        parts[kept],
        dict(enumerate(CLASSES)),
        {"archive": path.name, "archive_sha256": found},
    )


def _batches(path: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, labels [n] int64, pixels [n, 3072] uint8) of every batch."""
    with tarfile.open(path, "r:gz") as archive:
        for member in files.members(archive, path):
            name = PurePosixPath(member.name).name
            if not _BATCH.fullmatch(name):
                continue
            data = archive.extractfile(member).read()
            labels, rows = _binary(data) if name.endswith(".bin") else _python(data)
            if len(labels) != len(rows) or rows.shape[1:] != (_PIXELS,):
                raise UserError(f"{path}: {name} holds no images of 32 x 32; fetch it again")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
                raise UserError(f"{path}: {name} has labels that are not 0 to 9; fetch it again")
            yield name, labels, rows


def _binary(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    if len(data) % (1 + _PIXELS):
        raise OSError("a batch ends within an image")
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + _PIXELS)
    return records[:, 0].astype(np.int64), records[:, 1:]


def _python(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = batches.read(data)
    labels, rows = batch.get("labels"), batch.get("data")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise batches.Refused("a batch has no list of labels")
    if not isinstance(rows, np.ndarray) or rows.ndim != 2:  # noqa: PLR2004 (images, pixels)
        raise batches.Refused("a batch has no array of pixels")
    return np.asarray(labels, np.int64), rows
