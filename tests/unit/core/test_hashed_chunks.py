"""Arrays in chunks whose names hold hashes of their content."""

import numpy as np
import pytest

from dasbench.core import hashed_chunks
from dasbench.core.blocks import blocks
from dasbench.core.hashed_chunks import Chunks
from dasbench.errors import UserError

VALUES = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)


def made(folder, rows=None, dtype="float32"):
    chunks = Chunks(folder, blocks(10, 4), 3, dtype)
    for part in chunks.rows if rows is None else rows:
        chunks.save(part, VALUES[part])
    return chunks


def test_any_slice_is_read_across_files(tmp_path):
    chunks = made(tmp_path)
    assert (chunks.shape, len(chunks)) == ((10, 3), 10)
    for start in range(11):
        for stop in range(start, 11):
            np.testing.assert_array_equal(chunks[start:stop], VALUES[start:stop])
    np.testing.assert_array_equal(chunks[:], VALUES)
    joined = [(rows.start, rows.stop, len(chunk)) for rows, chunk in chunks]
    assert joined == [(0, 4, 4), (4, 8, 4), (8, 10, 2)]


def test_equal_content_has_equal_names_and_a_new_one_replaces_the_old(tmp_path):
    names = made(tmp_path / "a").names()
    assert names == made(tmp_path / "b").names()
    chunks = made(tmp_path / "a")
    chunks.save(slice(4, 8), VALUES[:4])
    assert chunks.names()[0] == names[0]
    assert chunks.names()[1] != names[1]
    assert len(list((tmp_path / "a").iterdir())) == 3


def test_what_is_missing_or_damaged_is_found_alone(tmp_path):
    chunks = made(tmp_path, [slice(0, 4), slice(8, 10)])
    assert chunks.missing() == [slice(4, 8)]
    with pytest.raises(UserError, match=r"no features of images 4 to 7; build the index again"):
        chunks.names()
    chunks = made(tmp_path)
    file = sorted(tmp_path.iterdir())[2]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert chunks.missing() == [slice(8, 10)]
    file.write_bytes(content[:-3])
    with pytest.raises(UserError, match="missing or damaged .*build the index again"):
        chunks[8:10]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_numbers_that_half_precision_does_not_hold_are_refused(tmp_path, bad):
    chunks = Chunks(tmp_path, blocks(10, 4), 3, "float16")
    values = VALUES[4:8].copy()
    values[2, 1] = bad
    with pytest.raises(UserError, match=r"features of image 6 are not finite, or too large"):
        chunks.save(slice(4, 8), values)
    assert not list(tmp_path.iterdir())


def test_an_array_can_be_kept_beside_another(tmp_path):
    first = hashed_chunks.save(tmp_path / "pixels.npy", VALUES)
    second = hashed_chunks.save(tmp_path / "pixels.npy", 2 * VALUES, keep=True)
    assert sorted(tmp_path.iterdir()) == sorted([first, second])
    assert hashed_chunks.digest(first) in first.name
    hashed_chunks.save(tmp_path / "pixels.npy", VALUES)
    assert list(tmp_path.iterdir()) == [first]


def test_two_processes_may_write_one_array_at_once(tmp_path, monkeypatch):
    array, digest = np.arange(6.0).reshape(3, 2), hashed_chunks.digest

    def meanwhile(path):
        monkeypatch.setattr(hashed_chunks, "digest", digest)
        hashed_chunks.save(tmp_path / "pixels.npy", array)
        return digest(path)

    monkeypatch.setattr(hashed_chunks, "digest", meanwhile)
    file = hashed_chunks.save(tmp_path / "pixels.npy", array)
    np.testing.assert_array_equal(np.load(file), array)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
