"""Shares, scales, predictions and progress of the building of an index."""

import numpy as np
import pytest

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


def test_the_predicted_disk_is_two_bytes_for_each_number_and_little_more():
    found = index_work.predict(manifest(), 0.005, 60_000 * 784)
    numbers = 10 * 60_000 * 1024
    assert 2 * numbers < found.disk < 1.4e9
    assert found.seconds > 10 * 60_000 * 0.005
    again = index_work.predict(manifest(scales=[1.0] * 20), 0.005, 60_000 * 784)
    assert again.memory == pytest.approx(found.memory, rel=0.1)  # whatever the timesteps
    assert "hour" in str(index_work.predict(manifest(), 0.05, 0))


def test_too_much_memory_is_refused(tmp_path):
    huge = index_work.Prediction(1.0, 10**15, 1)
    with pytest.raises(UserError, match=r"needs 1000000 GB of memory, but this machine has"):
        index_work.refuse(huge, tmp_path)
    index_work.refuse(index_work.Prediction(1.0, 1, 1), tmp_path)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.1, "1 second"), (40, "40 seconds"), (150, "2 minutes"), (9000, "2.5 hours")],
)
def test_durations_are_words(seconds, told):
    assert index_work.duration(seconds) == told


def test_progress_is_one_line(capsys, monkeypatch):
    progress = index_work.Progress(2, 100, "timestep")
    progress.step(0, 50, 50)
    progress.step(0, 60, 10)  # too soon after the last
    progress.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("index: timestep 1 of 2, image 50 of 100, 1 second left")
