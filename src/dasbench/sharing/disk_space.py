"""Whether a run has room: a disk that is full before it starts, or was when it failed, is told.

Standard library only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEGABYTES = 16  # Snakemake's records, logs and temporary files of a small experiment


def shortage(root: str | Path) -> str | None:
    """Why nothing can be made in this repository now, as a sentence; None if there is room.

    Args:
        root: Folder of the repository; the folder for temporary files is looked at too.
    """
    try:
        # Python leaves a TMPDIR that is full silently for /tmp; other programs do not
        temporary = _named() or tempfile.gettempdir()
    except OSError:
        return "no folder for temporary files can be written; make room in /tmp or set TMPDIR"
    for folder in (Path(root).resolve(), Path(temporary)):
        free = shutil.disk_usage(folder).free / 2**20
        if free < MEGABYTES:
            return (
                f"the disk of {folder} is full ({free:.1f} MB free, expected at least "
                f"{MEGABYTES}); make room, then run the same command again"
            )
    return None


def _named() -> str | None:
    """The folder that TMPDIR names, if there is one."""
    named = os.environ.get("TMPDIR")
    return named if named and Path(named).is_dir() else None
