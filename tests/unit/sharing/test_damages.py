"""The campaign's ways to damage an artifact do what they are called, or do not apply."""

import io
import random

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, save

from damage import MARKER, attempt, damages
from dasbench.core import artifacts
from dasbench.errors import UserError

NUMBERS, MASK = np.ones((3, 2), np.float32), np.ones((3, 2), bool)


def written(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def npy(array):
    return written(lambda file: np.save(file, array))


def npz(**arrays):
    return written(lambda file: np.savez(file, **arrays))


def damaged(path, way, content):
    return attempt(damages(path)[way], content, random.Random(0), None)


def test_a_nan_is_put_among_floats_alone(tmp_path):
    spoiled = damaged(tmp_path / "a.npy", "NaN", npy(NUMBERS))
    assert np.isnan(np.load(io.BytesIO(spoiled))).sum() == 1
    spoiled = dict(np.load(io.BytesIO(damaged(tmp_path / "a.npz", "NaN", npz(a=MASK, b=NUMBERS)))))
    assert spoiled["a"].dtype == bool
    assert np.isnan(spoiled["b"]).sum() == 1
    spoiled = load(damaged(tmp_path / "a.safetensors", "NaN", save({"a": MASK, "b": NUMBERS})))
    assert np.isnan(spoiled["b"]).sum() == 1


@pytest.mark.parametrize(
    ("name", "way", "content"),
    [
        ("a.npy", "NaN", npy(MASK)),
        ("a.npy", "NaN", npy(np.arange(3))),
        ("a.npz", "NaN", npz(a=MASK)),
        ("a.safetensors", "NaN", save({"a": MASK})),
        ("a.npy", "wrong shape", npy(np.float32(1))),
        ("a.npy", "wrong dtype", npy(np.arange(3, dtype=np.int16))),
        ("a.csv", "NaN", b"word\none\n"),
        ("a.csv", "wrong dtype", b"word\none\n"),
        ("a.parquet", "NaN", written(pd.DataFrame({"word": ["one"]}).to_parquet)),
        ("a.npy", "another experiment's", npy(MASK)),
    ],
)
def test_a_way_that_does_not_apply_gives_nothing(tmp_path, name, way, content):
    assert damaged(tmp_path / name, way, content) is None


def test_a_pickle_is_refused_and_would_have_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.npy", npy(MASK)), ("a.npz", npz(images=MASK, labels=MASK, ids=MASK))):
        (tmp_path / name).write_bytes(damaged(tmp_path / name, "pickled", content))
        with pytest.raises(UserError, match=rf"{name} is damaged"):
            (artifacts.load_array if name == "a.npy" else artifacts.load_examples)(tmp_path / name)
    assert not (tmp_path / MARKER).exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert (tmp_path / MARKER).is_dir()
