"""Shares, scales, predictions and progress of the building of an index."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dasbench.commands import index_work
from dasbench.commands.index_manifest import Manifest
from dasbench.core.blocks import blocks
from dasbench.errors import UserError
from dasbench.registry import METHODS


def manifest(**changes):
    fields = {
        "model": {},
        "method": "das_stepwise",
        "options": METHODS["das_stepwise"],
        "damping": 1e-4,
        "seed": 0,
        "shape": (1, 28, 28),
        "inputs": (1, 28, 28),
        "width": 1024,
        "timesteps": range(10),
        "scales": [1.0] * 10,
        "parts": [60_000],
        "decoys": 0,
        "data": ["a"],
        "decoy_data": None,
        "classes": None,
        "files": {},
    }
    return Manifest(**fields | changes)


def test_shares_have_every_chunk_once():
    rows = blocks(100, 8)
    shares = [index_work.Share.read(f"{k}/3").of(rows) for k in (1, 2, 3)]
    starts = sorted(part.start for share in shares for part in share)
    assert starts == [part.start for part in rows]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("size", [1e-12, 3e-4, 1.0, 5e7])
def test_a_scale_brings_features_to_where_half_precision_is_fine(size):
    features = np.random.default_rng(0).standard_normal((50, 20)) * size
    scale = index_work.scale_of(features)
    stored = np.sqrt(np.square(features * scale).mean())
    assert 2**-5 < stored < 2**-3
    assert np.log2(scale) == round(np.log2(scale))
    half = (features * scale).astype(np.float16).astype(float) / scale
    large = np.abs(features) > 1e-2 * size
    np.testing.assert_allclose(half[large], features[large], rtol=2**-10)


def test_a_scale_of_zeros_is_one_and_of_no_numbers_refused():
    assert index_work.scale_of(np.zeros((3, 4))) == 1
    with pytest.raises(UserError, match="gradient of a training image is not finite"):
        index_work.scale_of(np.array([[1.0, np.nan]]))


def predicted(folder, about, rate=0.005, share=None):
    return index_work.predict(about, index_work.missing(folder, about, [], share), rate)


def test_the_predicted_disk_is_two_bytes_for_each_number_and_little_more(tmp_path):
    found = predicted(tmp_path, manifest())
    numbers = 10 * 60_000 * 1024
    assert 2 * numbers < found.disk < 1.4e9
    assert found.seconds > 10 * 60_000 * 0.005
    again = predicted(tmp_path, manifest(scales=[1.0] * 20))
    assert again.memory == pytest.approx(found.memory, rel=0.1)  # whatever the timesteps
    assert "hour" in str(predicted(tmp_path, manifest(), 0.05))


def test_a_share_is_predicted_without_the_kernels(tmp_path):
    about = manifest(files={"pixels": "", "decoys": ""})
    whole, part = (predicted(tmp_path, about, 1.0, s) for s in (None, index_work.Share(2, 8)))
    assert part.seconds == pytest.approx(10 * 60_000 / 8, rel=0.05)
    assert part.disk == pytest.approx(2 * 10 * 60_000 * 1024 / 8, rel=0.05)
    assert part.memory < whole.memory


def test_too_much_memory_is_refused(tmp_path):
    huge = index_work.Prediction(1.0, 10**15, 1)
    with pytest.raises(UserError, match=r"needs 1000000 GB of memory, but this machine or contai"):
        index_work.refuse(huge, tmp_path)
    index_work.refuse(index_work.Prediction(1.0, 1, 1), tmp_path)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/", {"memory.max": "4096"}, 4096),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "8192"}, 8192),
        ("4:memory:/a\n0::/", {"memory/a/memory.limit_in_bytes": "2048"}, 2048),
        ("4:memory:/elsewhere", {"memory/memory.limit_in_bytes": "1024"}, 1024),
        ("4:memory:/\n3:cpu:/", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, None),
        ("0::/", {}, None),
    ],
)
def test_the_memory_is_that_of_the_container(tmp_path, monkeypatch, groups, files, expected):
    monkeypatch.setattr(index_work, "GROUPS", tmp_path)
    monkeypatch.setattr(index_work, "OWN_GROUPS", tmp_path / "own")
    machine = index_work.memory_limit()
    (tmp_path / "own").write_text(f"{groups}\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert index_work.memory_limit() == (expected or machine)


@pytest.mark.parametrize(
    ("device", "count", "expected"), [("", 3, [0, 1, 2, 0]), ("", 1, []), ("cuda:1", 3, [])]
)
def test_shares_take_the_gpus_in_turn(monkeypatch, device, count, expected):
    taken = []
    monkeypatch.setenv("DAS_DEVICE", device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "device", lambda k: taken.append(k) or nullcontext())
    for share in (None, *(index_work.Share(k, 4) for k in (1, 2, 3, 4))):
        with index_work.device_of(share):
            pass
    assert taken == expected


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.1, "1 second"), (40, "40 seconds"), (150, "2 minutes"), (9000, "2.5 hours")],
)
def test_durations_are_words(seconds, told):
    assert index_work.duration(seconds) == told


def test_progress_of_long_work_is_one_line(capsys, monkeypatch):
    clock = iter([0, 1, 50, 60])
    monkeypatch.setattr(index_work, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    progress = index_work.Progress(2, 100, "timestep")
    progress.step(0, 20, 20)  # too soon after the beginning
    progress.step(0, 50, 30)
    progress.step(0, 60, 10)  # too soon after the last
    progress.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("index: timestep 1 of 2, image 50 of 100, 2 minutes left")
