"""Whether a run has room: a disk that is full before it starts, or was when it failed, is told.

Standard library only.
"""

from __future__ import annotations

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
        temporary = tempfile.gettempdir()  # tries to write there
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
