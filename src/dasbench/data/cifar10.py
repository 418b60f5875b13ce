"""CIFAR-10: 60 000 colour photographs of ten kinds of things, 32 x 32 (Krizhevsky, 2009).

Read from the binary archive. Each image is one byte of label, then its red, green and blue planes.
The python archive has the same images as pickles. Loading a pickle can run code, so it is refused.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dasbench.data import decode, files
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
ARCHIVE, PICKLED = "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"
_BATCH = re.compile(r"data_batch_[1-9]\.bin|test_batch\.bin")
_SIDE, _PLANES = 32, 3
_PIXELS = _PLANES * _SIDE * _SIDE


def read(options: Mapping[str, Any]) -> files.Source:
    """Read the images of the experiment's classes, and scale them if ``data.size`` is set.

    Args:
        options: The ``data`` section, with its registry entry under ``about``.

    Returns:
        RGB images [n, size, size, 3]; 32 x 32 if ``size`` is None. Batches 1 to 5 are the training
        part, test_batch is held out.

    Raises:
        UserError: If the archive is absent, damaged, or has another digest than the published one.
    """
    path = _archive(options)
    published = options["about"]["files"].get(path.name, {})
    digest = files.check(path, published.get("sha256"))
    try:
        batches = sorted(_batches(path))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch it again") from error
    if not batches:
        raise UserError(f"{path} holds no batch of CIFAR-10; expected {ARCHIVE}")
    sizes = [len(labels) for _, labels, _ in batches]
    held_out = [name.startswith("test") for name, _, _ in batches]
    parts = np.repeat(np.asarray(held_out, np.uint8), sizes)
    labels = np.concatenate([labels for _, labels, _ in batches])
    kept = files.chosen(labels, parts, options)
    rows = np.concatenate([rows for _, _, rows in batches])[kept]
    images = rows.reshape(-1, _PLANES, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return files.Source(
        decode.resized(np.ascontiguousarray(images), options["size"], options["resize"]),
        labels[kept],
        parts[kept],
        dict(enumerate(CLASSES)),
        {"archive": path.name, "archive_sha256": digest},
    )


def _archive(options: Mapping[str, Any]) -> Path:
    pickled = files.find(options, (PICKLED,))
    if pickled and not files.find(options, (ARCHIVE,)):
        raise UserError(
            f"{pickled} is the pickled archive, which is not read because a pickle can run code: "
            f"fetch {options['about']['fetch']}, which has the same images, and put {ARCHIVE} "
            "beside it"
        )
    return files.locate(options, (ARCHIVE,))


def _batches(path: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, labels [n] int64, pixels [n, 3072] uint8) of every batch."""
    with tarfile.open(path, "r:gz") as archive:
        for member in files.members(archive, path):
            name = PurePosixPath(member.name).name
            if not _BATCH.fullmatch(name):
                continue
            data = archive.extractfile(member).read()
            if len(data) % (1 + _PIXELS):
                raise UserError(f"{path}: {name} ends within an image; fetch it again")
            records = np.frombuffer(data, np.uint8).reshape(-1, 1 + _PIXELS)
            labels, rows = records[:, 0].astype(np.int64), records[:, 1:]
            if (labels >= len(CLASSES)).any():
                raise UserError(f"{path}: {name} has labels that are not 0 to 9; fetch it again")
            yield name, labels, rows
