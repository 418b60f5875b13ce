"""Mapped arrays: the same checks and the same bytes as those that are read and written whole."""

import resource
import subprocess
import sys

import numpy as np
import pytest

from dasbench.core import artifacts, blocks, memmaps
from dasbench.errors import UserError


def test_norms_are_those_of_the_rows(monkeypatch):
    vectors = np.random.default_rng(0).standard_normal((11, 3)).astype("f4")
    expected = [sum(float(v) ** 2 for v in row) ** 0.5 for row in vectors]
    np.testing.assert_allclose(memmaps.norms(vectors), expected, rtol=1e-14)
    monkeypatch.setattr(blocks.memory_blocks, "__defaults__", (2 * 8 * 3,))
    np.testing.assert_allclose(memmaps.norms(vectors), expected, rtol=1e-14)


def test_a_created_file_has_the_bytes_of_a_saved_one(tmp_path):
    array = np.random.default_rng(0).standard_normal((7, 5)).astype("f4")
    with memmaps.create(tmp_path / "a/x.npy", array.shape, np.float32) as made:
        for column in range(5):
            made[:, column] = array[:, column]
        assert not (tmp_path / "a/x.npy").exists()
    artifacts.save_array(tmp_path / "y.npy", array)
    assert (tmp_path / "a/x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
    assert (tmp_path / "a/x.npy").stat().st_mode == (tmp_path / "y.npy").stat().st_mode
    found = memmaps.load(tmp_path / "a/x.npy", (7, None), np.float32)
    np.testing.assert_array_equal(found, array)
    assert not found.flags.writeable


def test_a_failed_writer_leaves_nothing(tmp_path):
    def fail():
        with memmaps.create(tmp_path / "x.npy", (3,), np.float32) as made:
            made[:] = 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_without_room_there_is_a_sentence_and_no_file(tmp_path):
    """Under a limit on file size, which fails as a full disk does."""
    code = (
        "import resource, signal, sys\n"
        "from dasbench.core import memmaps\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (5000, {resource.RLIM_INFINITY}))\n"
        f"with memmaps.create({str(tmp_path / 'x.npy')!r}, (1000, 1000), 'f4') as made:\n"
        "    made[:] = 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "could not be written" in done.stderr
    assert "make room" in done.stderr
    assert list(tmp_path.iterdir()) == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"0")


def no_array(path):
    path.write_bytes(b"hello")


def pickled(path):
    np.save(path, np.array([{}]), allow_pickle=True)


def replaced(array):
    return lambda path: artifacts.save_array(path, array)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "is damaged"),
        (lengthen, "is damaged .1 bytes after"),
        (no_array, "is damaged"),
        (pickled, "is damaged"),
        (lambda path: path.unlink(), "is missing"),
        (replaced(np.ones((4, 2), "f4")), r"shape \(4, 2\), expected \(any, 3\)"),
        (replaced(np.ones(3, "f4")), r"shape \(3,\), expected \(any, 3\)"),
        (replaced(np.ones((4, 3))), "dtype float64, expected float32"),
        (replaced(np.array([[1, np.nan, np.inf]], "f4")), "2 values that are not finite"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(damage, says, tmp_path):
    path = tmp_path / "results" / "smoke" / "x.npy"
    artifacts.save_array(path, np.ones((4, 3), np.float32))
    damage(path)
    with pytest.raises(UserError, match=says) as told:
        memmaps.load(path, (None, 3), np.float32)
    assert f"./run smoke --forcerun {path}" in str(told.value)
