"""Check free disk space before a run, and name a full disk when a run has failed.

Standard library only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEGABYTES = 16  # Snakemake's records, logs and temporary files of a small experiment


def shortage(root: str | Path) -> str | None:
    """Find a full disk.

    Args:
        root: Folder of the repository. The folder for temporary files is checked, too.

    Returns:
        A sentence that names the full disk and a remedy; None if there is room for a run.
    """
    try:
        # check TMPDIR itself: if it is full, Python alone silently turns to /tmp
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
