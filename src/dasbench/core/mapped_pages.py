"""Give the pages of mapped files back, where a job goes through a file larger than its memory.

The system takes such pages back when memory is short. Until then they count as memory of the
process, and a batch system may end a job for them.
"""

from __future__ import annotations

import mmap

import numpy as np


def release(array: np.ndarray) -> None:
    """Remove the pages of a mapped file from the memory of this process.

    The numbers stay in the file, and those that were written reach it: the array may be read and
    written as before. An array that is not mapped stays as it is.

    Args:
        array: A mapped array, or a view of one.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
