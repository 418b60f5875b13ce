"""Fashion-MNIST: 70 000 grey photographs of garments, 28 x 28 (Xiao, Rasul, Vollgraf, 2017).

Read from four gzipped IDX files: in ``data.path``, in Debian's package ``dataset-fashion-mnist``,
or fetched by https. Digests are of the unzipped files, because Debian compresses them again.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.core import download
from dasbench.data import decode, files
from dasbench.errors import UserError

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
DEBIAN = "/usr/share/datasets/fashion-mnist"
# kind and part of each file; an image file begins with magic 0x803, a label file with 0x801
_PARTS = (("train", files.TRAIN), ("t10k", files.HELD_OUT))
_IMAGES, _LABELS = 0x803, 0x801


def read(options: Mapping[str, Any]) -> files.Source:
    """Read the images of the experiment's classes, and scale them if ``data.size`` is set.

    Args:
        options: The ``data`` section, with its registry entry under ``about``.

    Returns:
        Grey images [n, size, size, 1]; 28 x 28 if ``size`` is None. The official training part
        comes first, then the test part.

    Raises:
        UserError: If a file is absent, damaged, or has another digest than the published one.
    """
    images, labels, parts = [], [], []
    for prefix, part in _PARTS:
        images.append(_idx(_file(f"{prefix}-images-idx3-ubyte.gz", options), _IMAGES, options))
        labels.append(_idx(_file(f"{prefix}-labels-idx1-ubyte.gz", options), _LABELS, options))
        if len(images[-1]) != len(labels[-1]):
            raise UserError(
                f"Fashion-MNIST's {prefix} files have {len(images[-1])} images and "
                f"{len(labels[-1])} labels; fetch them again"
            )
        parts.append(np.full(len(labels[-1]), part, np.uint8))
    joined = np.concatenate(labels).astype(np.int64)
    part = np.concatenate(parts)
    kept = files.chosen(joined, part, options)
    pixels = np.concatenate(images)[kept][..., None]
    return files.Source(
        decode.resized(pixels, options["size"], options["resize"]),
        joined[kept],
        part[kept],
        dict(enumerate(CLASSES)),
    )


def _file(name: str, options: Mapping[str, Any]) -> Path:
    """Path of a file; fetch the file if it is in none of the usual folders."""
    try:
        return files.locate(options, [name, name.removesuffix(".gz")], [DEBIAN])
    except UserError:
        published = options["about"]["files"].get(name, {})
        if options["path"] or "url" not in published:
            raise
        target = Path(files.FOLDER, "fashion", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            return download.fetch(published["url"], published["sha256"], target)
        except UserError as error:
            raise UserError(f"{files.absent(options, [name])} ({error})") from error


def _idx(path: Path, magic: int, options: Mapping[str, Any]) -> np.ndarray:
    """Parse an IDX file: big-endian magic number and lengths, then one byte for each value."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): fetch it again") from error
    name = path.name if path.suffix == ".gz" else f"{path.name}.gz"
    expected = options["about"]["files"].get(name, {}).get("unzipped_sha256")
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and digest != expected:
        raise UserError(
            f"{path} is not the published file: unzipped, its SHA-256 is {digest}, expected "
            f"{expected}; fetch it again"
        )
    axes = magic & 0xFF
    lengths = np.frombuffer(data, ">u4", 1 + axes) if len(data) >= 4 + 4 * axes else [0]
    if lengths[0] != magic or len(data) != 4 + 4 * axes + int(np.prod(lengths[1:], dtype=np.int64)):
        raise UserError(f"{path} is no IDX file of this kind and length: fetch it again")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(lengths[1:])
