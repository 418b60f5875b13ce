"""One run at a time, and no lock left behind by a run that was killed.

Snakemake's lock is a folder, so it stays after ``kill -9``. The lock of this module is an
``flock``, which ends with the process that holds it. A run that gets it knows that no other run is
alive, and may remove Snakemake's lock. Jobs of a killed run may still be alive: ``kill -9`` of
Snakemake does not stop them. They could overwrite outputs of the next run, so it waits for them.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import sys
import time
from pathlib import Path

from dasbench.errors import UserError

FILE = ".snakemake/das-run.lock"
# environment variable <process>:<path>: tells a child process that its parent holds the lock
INHERITED = "DASBENCH_RUN_LOCK"

_held: dict[str, int] = {}


def hold(root: str | Path) -> None:
    """Take the lock for the life of this process, and of the program that may replace it.

    The file stays open across ``exec``: ``./run`` takes the lock, then replaces itself by
    Snakemake, which still holds it. Jobs start without open files, so they do not hold it.

    Args:
        root: Folder of the repository.

    Raises:
        UserError: If another run holds it, or the folder is read-only.
    """
    path = Path(root, FILE).resolve()
    if _ours(path):
        return
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({error.strerror}); a run needs a folder that it may "
            "write to: mend its permissions, or clone the repository elsewhere"
        ) from error
    try:
        _lock(descriptor)
    except BlockingIOError as error:
        pid = _holder(descriptor) or "unknown"
        os.close(descriptor)
        raise UserError(
            f"another run is under way here (process {pid}); wait until it has ended, or stop it"
        ) from error
    before = _holder(descriptor)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    os.set_inheritable(descriptor, True)
    os.environ[INHERITED] = f"{os.getpid()}:{path}"
    _held[str(path)] = descriptor
    _wait_for_orphans(f"{before}:{path}")
    shutil.rmtree(path.parent / "locks", ignore_errors=True)


def _wait_for_orphans(run: str) -> None:
    """Wait for the end of all processes of a run; ``run`` is its value of INHERITED."""
    reported: list[int] = []
    while orphans := _started_by(run):
        if orphans != reported:
            reported = orphans
            shown = ", ".join(map(str, orphans))
            print(
                f"run: waiting for what a run that was killed left at work (processes {shown}); "
                "they may be stopped, nothing is lost by that",
                file=sys.stderr,
            )
        time.sleep(0.2)


def _started_by(run: str) -> list[int]:
    """Processes of a run, except this one; none on a system without /proc."""
    mark = f"{INHERITED}={run}".encode()
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inherited = mark in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or of another user
        if inherited and int(folder.name) != os.getpid():
            pids.append(int(folder.name))
    return sorted(pids)


def _ours(path: Path) -> bool:
    """Whether this process holds the lock, perhaps since before an ``exec``."""
    return str(path) in _held or os.environ.get(INHERITED) == f"{os.getpid()}:{path}"


def _holder(descriptor: int) -> str:
    """The process that took the lock last."""
    return os.pread(descriptor, 20, 0).decode(errors="replace").strip()


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.05)  # ``busy`` of another process holds it for an instant
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
    """Delete half-written files of killed jobs. Hold the lock, and call it before any job."""
    parts = [Path(root).glob(".part-*")]
    parts += [Path(root, folder).rglob(".part-*") for folder in ("results", "data")]
    for part in itertools.chain(*parts):
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink()
