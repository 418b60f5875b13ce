"""CelebA, aligned and cropped: 202 599 faces, 178 x 218 (Liu, Luo, Wang, Tang, 2015).

Read from the folder ``img_align_celeba`` or its zip archive, and from ``list_eval_partition.txt``
with lines such as ``000001.jpg 0``: 0 is training, 1 validation, 2 test. Archive and partition must
have the digests of ``data/registry.yaml``; an unpacked folder has no digest. As in the attribution
papers, a square of 140 pixels is cut from the centre, then scaled. The validation part is not used.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.data import decode, files
from dasbench.errors import UserError

CUT = 140  # pixels
IMAGES = ("img_align_celeba", "img_align_celeba.zip")
PARTITION = "list_eval_partition.txt"
_LINE = re.compile(r"(\d{6}\.jpg) ([012])")
_PART = {"0": files.TRAIN, "2": files.HELD_OUT}


def read(options: Mapping[str, Any]) -> files.Source:
    """Read, cut and scale the faces of the training and the test part.

    Args:
        options: The ``data`` section, with its registry entry under ``about``.

    Returns:
        RGB images [n, size, size, 3]; 140 x 140 if ``size`` is None. All labels are 0.

    Raises:
        UserError: If images or partition are absent or have another digest, or an image is absent.
    """
    folder = files.locate(options, IMAGES)
    partition = files.locate(options, [PARTITION])
    published = options["about"]["files"]
    record = {
        "archive": folder.name,
        "partition_sha256": files.check(partition, published.get(PARTITION, {}).get("sha256")),
    }
    if folder.is_file():
        expected = published.get(folder.name, {}).get("sha256")
        record["archive_sha256"] = files.check(folder, expected)
    names, parts = _partition(partition)
    kept = files.chosen(np.zeros(len(names), np.int64), parts, options)
    images = []
    with _opened(folder) as bytes_of:
        for i in kept:
            try:
                images.append(decode.read(bytes_of(names[i]), options["size"], cut=CUT))
            except (KeyError, OSError, zipfile.BadZipFile, decode.UnreadableError) as error:
                raise UserError(
                    f"{folder}: {names[i]} of {PARTITION} cannot be read ({error}); fetch it again"
                ) from error
    labels = np.zeros(len(kept), np.int64)
    return files.Source(np.stack(images), labels, parts[kept], {0: "face"}, record)


def _partition(path: Path) -> tuple[list[str], np.ndarray]:
    """Names and parts of the training and test images, in the file's order."""
    names, parts = [], []
    for number, line in enumerate(
        path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
    ):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UserError(f"{path}: line {number} is not like `000001.jpg 0`; fetch it again")
        if match[2] in _PART:
            names.append(match[1])
            parts.append(_PART[match[2]])
    if not names:
        raise UserError(f"{path} names no image; fetch it again")
    return names, np.asarray(parts, np.uint8)


class _opened:  # noqa: N801 (used as a function)
    """Context manager that gives a function name -> bytes, for the folder or the zip archive."""

    def __init__(self, path: Path):
        """Keep the path; ``__enter__`` opens it."""
        self.path, self.archive = path, None

    def __enter__(self) -> Callable[[str], bytes]:
        """Open the archive, if there is one.

        All names match ``_LINE``, so no path can lead out of the folder.
        """
        if self.path.is_dir():
            return lambda name: (self.path / name).read_bytes()
        try:
            self.archive = zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{self.path} cannot be read ({error}): fetch it again") from error
        return lambda name: self.archive.read(f"img_align_celeba/{name}")

    def __exit__(self, *_: object) -> None:
        """Close the archive, if there is one."""
        if self.archive is not None:
            self.archive.close()
