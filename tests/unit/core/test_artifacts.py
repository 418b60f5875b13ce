"""Files: whole or absent, checked on the way in, the same bytes for the same content."""

import json
import os
import resource
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dasbench.core import artifacts, tables
from dasbench.core.writing import atomic
from dasbench.errors import UserError

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
IMAGES = np.arange(96, dtype=np.uint8).reshape(3, 4, 4, 2)
TABLE = pd.DataFrame({"method": ["das", "trak"], "lds": [0.1 + 0.2, -1 / 3], "M": [64, 64]})
BIG = np.random.default_rng(0).standard_normal(5000)

WRITERS = {
    "a.npy": lambda path: artifacts.save_array(path, ARRAY),
    "a.npz": lambda path: artifacts.save_examples(path, IMAGES, [3, 1, 3], [5, 0, 2]),
    "a.json": lambda path: artifacts.save_json(path, {"b": 1, "a": [1.5, None, "x"]}),
    "a.csv": lambda path: tables.save_table(path, TABLE),
    "a.parquet": lambda path: tables.save_table(path, TABLE),
}
LOADERS = {
    ".npy": lambda path: artifacts.load_array(path, (3, 4), np.float32),
    ".npz": artifacts.load_examples,
    ".json": artifacts.load_json,
    ".csv": tables.load_table,
    ".parquet": tables.load_table,
}
BIG_WRITERS = {
    "a.npy": lambda path: artifacts.save_array(path, BIG),
    "a.npz": lambda path: artifacts.save_examples(
        path, BIG.view(np.uint8).reshape(-1, 2, 2, 1), np.zeros(10000), np.arange(10000)
    ),
    "a.json": lambda path: artifacts.save_json(path, list(BIG)),
    "a.csv": lambda path: tables.save_table(path, pd.DataFrame({"a": BIG})),
    "a.parquet": lambda path: tables.save_table(path, pd.DataFrame({"a": BIG})),
}
by_format = pytest.mark.parametrize("name", WRITERS)


def load(path):
    return LOADERS[path.suffix](path)


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@contextmanager
def small_files():
    """No file may grow beyond 4096 bytes: what a full disk does, without a disk.

    For the write alone: where pytest itself writes to a file (a log of CI), it may have more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_round_trips(tmp_path):
    for name, write in WRITERS.items():
        write(tmp_path / "new" / "folders" / name)
    folder = tmp_path / "new" / "folders"
    loaded = artifacts.load_array(folder / "a.npy")
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, ARRAY)
    examples = artifacts.load_examples(folder / "a.npz")
    np.testing.assert_array_equal(examples.images, IMAGES)
    assert examples.labels.tolist() == [3, 1, 3]
    assert examples.ids.tolist() == [5, 0, 2]
    assert (examples.images.dtype, examples.labels.dtype) == (np.uint8, np.int64)
    assert artifacts.load_json(folder / "a.json") == {"a": [1.5, None, "x"], "b": 1}
    assert list(json.loads((folder / "a.json").read_text())) == ["a", "b"]
    for name in ("a.csv", "a.parquet"):
        pd.testing.assert_frame_equal(tables.load_table(folder / name), TABLE, check_exact=True)


def test_a_view_is_written_as_it_looks(tmp_path):
    artifacts.save_array(tmp_path / "a.npy", ARRAY.T[::2])
    np.testing.assert_array_equal(artifacts.load_array(tmp_path / "a.npy"), ARRAY.T[::2])


@by_format
def test_same_content_same_bytes_whatever_the_clock(name, tmp_path, monkeypatch):
    WRITERS[name](tmp_path / name)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(now + 1e6))
    WRITERS[name](tmp_path / "again" / name)
    assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_tables_have_no_index(name, tmp_path):
    tables.save_table(tmp_path / name, TABLE.iloc[::-1])
    expected = TABLE.iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(tables.load_table(tmp_path / name), expected)


def test_json_does_not_depend_on_the_order_of_keys(tmp_path):
    artifacts.save_json(tmp_path / "a.json", {"a": 1, "b": 2})
    artifacts.save_json(tmp_path / "b.json", {"b": 2, "a": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_content_and_no_other_file(error, tmp_path):
    target = tmp_path / "a.txt"

    def fail(content):
        with atomic(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.suffix == ".txt"
            temporary.write_text(content)
            raise error

    with pytest.raises(error):
        fail("first")
    assert os.listdir(tmp_path) == []
    target.write_text("old")
    with pytest.raises(error):
        fail("half of the new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_target_is_old_until_the_block_ends(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with target.open() as reader:
        with atomic(target) as temporary:
            temporary.write_text("new")
            assert target.read_text() == "old"
        assert target.read_text() == "new"
        assert (
            reader.read() == "old"
        )  # renamed, not written over: whoever is reading is not cut off


@pytest.mark.parametrize("name", BIG_WRITERS)
def test_a_disk_that_takes_no_more_is_one_sentence_and_no_file(name, tmp_path):
    (tmp_path / name).write_text("old")
    says = pytest.raises(UserError, match=r"could not be written .*make room")
    with says as caught, small_files():
        BIG_WRITERS[name](tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert (tmp_path / name).read_text() == "old"
    assert os.listdir(tmp_path) == [name]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        artifacts.save_array(tmp_path / "file" / "a.npy", ARRAY)


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
@by_format
def test_permissions_follow_the_umask(name, mask, tmp_path):
    before = os.umask(mask)
    try:
        WRITERS[name](tmp_path / name)
        assert os.umask(mask) == mask  # the writer looked at it and put it back
    finally:
        os.umask(before)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~mask


@by_format
def test_a_missing_file_names_itself_and_the_command_that_makes_it(name, tmp_path):
    path = tmp_path / "results" / "smoke" / "lds" / name
    told = rf"^{path} is missing: smoke has not been run here; make it with \./run smoke, or fetch"
    with pytest.raises(UserError, match=told):
        load(path)
    path.parent.parent.mkdir(parents=True)
    told = (
        rf"^{path} is missing: remake it with \./run smoke --forcerun {path}, .*\./run pull smoke$"
    )
    with pytest.raises(UserError, match=told):
        load(path)


@by_format
def test_a_user_s_file_is_not_said_to_be_the_workflow_s(name, tmp_path):
    """Neither in a folder of the user's, nor in one that is called results."""
    for path in (tmp_path / name, tmp_path / "results" / "mine" / name):
        with pytest.raises(UserError, match=r"is missing: the workflow does not make it") as caught:
            load(path)
        assert "./run" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 10, 0.5, -1])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.json", "a.parquet"])
def test_a_truncated_file_is_refused(name, keep, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    if keep == -1 and name == "a.json":
        keep = -2  # without its last newline it is still the same JSON
    path.write_bytes(content[: int(len(content) * keep) if keep == 0.5 else keep])
    with pytest.raises(UserError, match="is damaged") as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "write it or copy it again" in str(caught.value)


def test_an_empty_table_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(UserError, match="is damaged"):
        tables.load_table(tmp_path / "a.csv")


def flips(content):
    """The content with one bit flipped, for every byte of it."""
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << (position * 5 % 8)
        yield position, bytes(flipped)


def test_a_flipped_bit_in_the_header_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.npy"
    artifacts.save_array(path, ARRAY)
    content, refused = path.read_bytes(), 0
    header = len(content) - ARRAY.nbytes
    for bit in range(8):
        for position in range(header):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                np.testing.assert_array_equal(load(path), ARRAY)
            except UserError:
                refused += 1
    assert refused > 7.5 * header


def test_a_flipped_bit_in_an_archive_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.npz"
    WRITERS["a.npz"](path)
    refused = 0
    for _, flipped in flips(path.read_bytes()):
        path.write_bytes(flipped)
        try:
            examples = load(path)
        except UserError:
            refused += 1
        else:
            np.testing.assert_array_equal(examples.images, IMAGES)
            assert (examples.labels.tolist(), examples.ids.tolist()) == ([3, 1, 3], [5, 0, 2])
    assert refused > 100


def test_a_damaged_table_ends_in_one_sentence_or_a_table(tmp_path):
    path = tmp_path / "a.parquet"
    tables.save_table(path, TABLE)
    refused = 0
    for position, flipped in flips(path.read_bytes()):
        if position % 3:
            continue
        path.write_bytes(flipped)
        try:
            assert isinstance(tables.load_table(path), pd.DataFrame)
        except UserError:
            refused += 1
    assert refused > 100


def test_pickles_are_refused_and_not_run(tmp_path):
    made = tmp_path / "made by the payload"
    trap = np.array([Payload(made)], dtype=object)
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=trap, labels=[0], ids=[0])
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        with pytest.raises(UserError, match="is damaged") as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert not made.exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert made.exists()  # the trap was set


def test_bytes_after_the_array_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    artifacts.save_array(path, ARRAY)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match="bytes after the end"):
        load(path)


def test_one_kind_of_file_in_place_of_the_other(tmp_path):
    WRITERS["a.npz"](tmp_path / "really.npz")
    WRITERS["a.npy"](tmp_path / "really.npy")
    with pytest.raises(UserError, match="an npz archive, not one array"):
        artifacts.load_array(tmp_path / "really.npz")
    with pytest.raises(UserError, match="is damaged"):
        artifacts.load_examples(tmp_path / "really.npy")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"shape": (3, 5)}, r"shape \(3, 4\), expected \(3, 5\)"),
        ({"shape": (None, 5)}, r"expected \(any, 5\)"),
        ({"shape": (3, 4, None)}, r"expected \(3, 4, any\)"),
        ({"shape": (12,)}, r"expected \(12\)"),
        ({"dtype": np.float64}, "dtype float32, expected float64"),
        ({"dtype": bool}, "dtype float32, expected bool"),
    ],
)
def test_an_unexpected_array_is_refused(wanted, says, tmp_path):
    artifacts.save_array(tmp_path / "a.npy", ARRAY)
    with pytest.raises(UserError, match=says) as caught:
        artifacts.load_array(tmp_path / "a.npy", **wanted)
    assert str(tmp_path / "a.npy") in str(caught.value)
    assert "write it or copy it again" in str(caught.value)
    loaded = artifacts.load_array(tmp_path / "a.npy", (None, 4), "float32")
    np.testing.assert_array_equal(loaded, ARRAY)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_refused(value, tmp_path):
    array = ARRAY.copy()
    array[0, 1] = array[2, 3] = value
    artifacts.save_array(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=r"a\.npy has 2 values that are not finite"):
        artifacts.load_array(tmp_path / "a.npy")
    loaded = artifacts.load_array(tmp_path / "a.npy", finite=False)
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ids": np.array([1, 2, 1])}, "an id twice"),
        ({"ids": np.array([1, 2])}, r"shape \(2,\), expected \(3\)"),
        ({"labels": np.zeros(3)}, "dtype float64, expected int64"),
        ({"images": IMAGES.astype(np.float32)}, "dtype float32, expected uint8"),
        ({"images": IMAGES[..., 0]}, "expected .3, any, any, any."),
        ({"more": np.zeros(3)}, "'more'"),
    ],
)
def test_examples_that_do_not_fit_together_are_refused(change, says, tmp_path):
    arrays = {"images": IMAGES, "labels": np.array([3, 1, 3]), "ids": np.array([5, 0, 2])}
    np.savez(tmp_path / "a.npz", **{**arrays, **change})
    with pytest.raises(UserError, match=says) as caught:
        artifacts.load_examples(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)


def test_an_archive_without_labels_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, ids=np.arange(3))
    with pytest.raises(UserError, match=r"not images, labels and ids"):
        artifacts.load_examples(tmp_path / "a.npz")


def test_the_remedy_names_the_experiment_of_the_path(tmp_path, monkeypatch):
    (tmp_path / "config/experiments").mkdir(parents=True)
    (tmp_path / "config/experiments/mine.yaml").touch()
    monkeypatch.chdir(tmp_path)
    file = "results/mine/a.npy"
    assert artifacts.remake(file).startswith("mine has not been run here; make it with ./run mine,")
    (tmp_path / "results/mine").mkdir(parents=True)
    assert f"./run mine --forcerun {file}" in artifacts.remake(file)
    monkeypatch.chdir("/")
    assert f"./run mine --forcerun {tmp_path / file}" in artifacts.remake(tmp_path / file)
    assert "./run --forcerun data/a/pool.npz" in artifacts.remake(Path("data/a/pool.npz"))
    assert "./run" not in artifacts.remake(Path("data/a/mine.npz"))
