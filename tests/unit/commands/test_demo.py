"""``./run demo``: which phases it needs, and an answer from what they make."""

import numpy as np
import pytest

from dasbench.commands import cli, demo
from dasbench.core import artifacts
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from tiny import DIFFUSION, MODEL

N, D, SIZES = 12, 40, {"timesteps": 2, "dimensions": 256}


@pytest.fixture
def home(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", N), ("val", D)):
        images = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        labels, ids = np.arange(count) % 2, np.arange(count)
        artifacts.save_examples(
            tmp_path / f"results/mine/examples/{split}.npz", images, labels, ids
        )
    pixel.save(
        tmp_path / "results/mine/models/base", *pixel.build(MODEL, DIFFUSION, (3, 8, 8), "a")
    )
    return tmp_path / "results/mine"


def test_generated_images_are_asked_about_beside_decoys(home, tmp_path, capsys):
    page = demo.answer(home, tmp_path / "demo", **SIZES)
    told = capsys.readouterr().out
    assert "self-check: 12 of 12 training images come out on top" in told
    assert "label 0" in told
    text = page.read_text()
    assert "image 7" in text
    assert "q-value" in text
    first = text, [file.stat().st_mtime_ns for file in (tmp_path / "demo/index").rglob("train*")]
    demo.answer(home, tmp_path / "demo", **SIZES)
    again = [file.stat().st_mtime_ns for file in (tmp_path / "demo/index").rglob("train*")]
    assert (page.read_text(), again) == first  # the index is kept


def test_an_unknown_experiment_is_refused_before_the_work():
    with pytest.raises(UserError, match="nothing is no experiment; expected one of .*digits"):
        cli.demo(["nothing"])


def test_the_workflow_trains_the_model(monkeypatch):
    called = []
    monkeypatch.setattr(cli.running, "run", lambda words: called.append(words) or 3)
    assert cli.demo(["smoke", "--no-browser"]) == 3
    assert called == [["--", "base_smoke", "examples_smoke"]]
