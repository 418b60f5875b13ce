"""One run at a time, and no lock left behind by a run that was killed.

Snakemake's own lock is a folder, so ``kill -9`` leaves it. Ours is an ``flock``, which ends with
the process that holds it: whoever gets it knows that no run is alive and may clear Snakemake's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from dasbench.errors import UserError

FILE = ".snakemake/das-run.lock"
# tells a child process that its parent's lock is its own
INHERITED = "DASBENCH_RUN_LOCK"

_held: dict[str, int] = {}


def hold(root: str | Path) -> None:
    """Take the lock for the life of this process, and of the program that it may turn into.

    The file stays open across ``exec``, so ``./run`` takes the lock and becomes Snakemake, whose
    workflow finds it held by itself. Jobs are started without open files and do not hold it.

    Args:
        root: Folder of the repository.

    Raises:
        UserError: If another run holds it.
    """
    path = Path(root, FILE).resolve()
    if _ours(path):
        return
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(descriptor)
    except BlockingIOError as error:
        pid = _holder(descriptor) or "unknown"
        os.close(descriptor)
        raise UserError(
            f"another run is under way here (process {pid}); wait until it has ended, or stop it"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    os.set_inheritable(descriptor, True)
    os.environ[INHERITED] = f"{os.getpid()}:{path}"
    _held[str(path)] = descriptor
    shutil.rmtree(path.parent / "locks", ignore_errors=True)


def _ours(path: Path) -> bool:
    """Whether this process holds the lock, or became this program while it did."""
    return str(path) in _held or os.environ.get(INHERITED) == f"{os.getpid()}:{path}"


def _holder(descriptor: int) -> str:
    """The process that took the lock last."""
    return os.pread(descriptor, 20, 0).decode(errors="replace").strip()


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.05)  # whoever asks whether it is busy has it for an instant
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def busy(root: str | Path) -> bool:
    """Whether a run other than this one is under way.

    Args:
        root: Folder of the repository.

    Returns:
        False if the lock is free, or held by this process or by one that started it (``./run save``
        asks Snakemake for a plan).
    """
    path = Path(root, FILE).resolve()
    if _ours(path):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.environ.get(INHERITED) != f"{_holder(descriptor)}:{path}"
    finally:
        os.close(descriptor)
    return False


def sweep(root: str | Path) -> None:
    """Delete what killed jobs were writing; call it with the lock held, before any job starts."""
    for folder in ("results", "data"):
        for part in Path(root, folder).rglob(".part-*"):
            shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink()
