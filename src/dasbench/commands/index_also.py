"""Other methods beside the score of an index: an index of each, in its folder ``also``.

Another method has other gradients, so it costs as much again: time, and disk for its features. The
training images are not kept twice where the file system has hard links.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dasbench.commands import index_settings
from dasbench.commands.index_manifest import FILE
from dasbench.errors import UserError

FOLDER = "also"


def checked(methods: Iterable[str], main: str, features: dict[str, Any]) -> list[str]:
    """The names of other methods, each once.

    Args:
        methods: One name, or several.
        main: The method of the index.
        features: Options of the features that the user gave; they hold for every method.

    Raises:
        UserError: If a method cannot be used, or is that of the index.
    """
    names = [methods] if isinstance(methods, str) else list(dict.fromkeys(methods))
    for name in names:
        if name == main:
            raise UserError(f"also is {name}, the method of the index; leave it out")
        index_settings.check_kernel(index_settings.complete(name, features))
    return names


def folders(folder: Path) -> list[Path]:
    """The indexes of other methods in an index, by name."""
    return sorted(file.parent for file in (folder / FOLDER).glob(f"*/{FILE}"))


def share_images(folder: Path, other: Path) -> None:
    """Replace files of an index by hard links to equal ones of another index, where possible.

    Args:
        folder: The index that has the files.
        other: The index of another method.
    """
    for file in other.glob("*-*.npy"):  # their names have the hash of their content
        twin, link = folder / file.name, file.with_name(f".part-{file.name}")
        if twin.is_file() and not twin.samefile(file):
            try:
                os.link(twin, link)
            except OSError:  # a file system without hard links
                return
            link.replace(file)
