"""One run at a time, and no lock left behind by a run that was killed.

Snakemake's own lock is a folder, so ``kill -9`` leaves it. Ours is an ``flock``, which ends with
the process that holds it: whoever gets it knows that no run is alive and may clear Snakemake's.
Only jobs may be: ``kill -9`` of Snakemake alone leaves them at work, and what they write would
replace what the next run has made. So the next run waits for them.
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
    """Wait until no process is left that a run, given by its INHERITED, has started."""
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
    """Processes other than this one with this INHERITED; none where there is no /proc."""
    mark = f"{INHERITED}={run}".encode()
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inherited = mark in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if inherited and int(folder.name) != os.getpid():
            pids.append(int(folder.name))
    return sorted(pids)


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
    parts = [Path(root).glob(".part-*")]
    parts += [Path(root, folder).rglob(".part-*") for folder in ("results", "data")]
    for part in itertools.chain(*parts):
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink()
