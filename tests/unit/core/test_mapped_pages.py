"""Pages of mapped files leave the memory of the process; no number is lost."""

import re
from pathlib import Path

import numpy as np
import pytest

from dasbench.core import memmaps
from dasbench.core.mapped_pages import release

MB = 2**20
SIZE = 64 * MB


def resident():
    """Bytes of this process's memory that are pages of files."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssFile:\s+(\d+) kB", status)[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux has this file")
def test_pages_that_were_written_or_read_are_given_back(tmp_path):
    file, before = tmp_path / "a.npy", resident()
    with memmaps.create(file, (2, SIZE // 8), np.float32) as array:
        for part in array:
            part[:] = 7
            release(part)
        assert resident() - before < 8 * MB
    read = memmaps.load(file, (2, None), np.float32)
    for part in read:
        assert part.sum(dtype=float) == 7 * SIZE // 8
    assert resident() - before > SIZE // 2
    release(read.reshape(-1))
    assert resident() - before < 8 * MB
    assert (read == 7).all()


def test_an_array_in_memory_stays_as_it_is():
    array = np.arange(3.0)
    release(array[1:])
    np.testing.assert_array_equal(array, [0, 1, 2])
