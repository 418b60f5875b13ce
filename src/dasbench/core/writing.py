"""Write files whole or not at all; standard library only.

A writer fills a temporary file ``.part-*`` beside the target, then renames it to the target. So a
killed job or a full disk leaves the whole file or none. ``dasbench.sharing.runlock`` deletes
temporary files that are left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dasbench.errors import UserError

PREFIX = ".part-"


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block succeeds, rename it to ``path``.

    Yields:
        A path in the same folder (same file system, so that the rename is atomic), with the same
        suffix as ``path``.

    Raises:
        UserError: If the file system refuses.
    """
    path = Path(path)
    temporary = None
    with _one_sentence(path, path.parent):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=path.suffix, dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            temporary.chmod(file_mode())
            temporary.replace(path)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staging(folder: str | Path, target: str | Path) -> Iterator[Path]:
    """Yield a temporary folder inside ``folder``; the block itself renames the files it writes.

    Args:
        folder: Parent of the temporary folder; on the file system of the target.
        target: Path for the error message.

    Yields:
        The temporary folder. It is deleted afterwards, with all files that are still in it.

    Raises:
        UserError: If the file system refuses.
    """
    temporary = None
    with _one_sentence(target, folder):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
            yield temporary
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        UserError: If the file system refuses.
    """
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_mode() -> int:
    """Usual permissions of a new file; mkstemp and safetensors create files for the owner only."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextlib.contextmanager
def _one_sentence(target: str | Path, folder: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{target} could not be written ({error.strerror or error}): make room or mend the "
            f"permissions of {folder}, then run the same command again"
        ) from error
