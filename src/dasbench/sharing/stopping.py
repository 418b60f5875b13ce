"""Stop a run on Ctrl-C or SIGTERM: end its jobs, and keep what is finished.

Snakemake answers Ctrl-C by tracebacks of all jobs, and SIGTERM by waiting for jobs that may take
hours. ``install`` gives both signals one meaning. Nothing is lost by it: outputs are written
atomically, and the next run makes what is missing.
"""

from __future__ import annotations

import contextlib
import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_received: list[int] = []


def install() -> None:
    """Handle the signals in this process; call it again after another library has set handlers."""
    for number in SIGNALS:
        signal.signal(number, _stop)


def received() -> int | None:
    """The signal that stopped this run, or None."""
    return _received[0] if _received else None


def sentence(command: str) -> str:
    """The last line of a stopped run.

    Args:
        command: The command of the user.
    """
    return f"stopped; `{command}` goes on from here"


def _stop(number: int, frame: FrameType | None) -> None:
    """End the jobs and leave Snakemake; a second signal kills jobs that have not ended."""
    first = not _received
    _received.append(number)
    _end_children(signal.SIGTERM if first else signal.SIGKILL)
    if first:
        raise KeyboardInterrupt


def _end_children(number: int) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.send_signal(number)
