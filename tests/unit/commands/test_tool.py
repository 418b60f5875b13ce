"""The command ``dasbench``, from a folder of a model and one of pictures to an answer."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clones import ROOT
from dasbench.commands import attribute, index, index_features, index_settings, tool
from dasbench.core import artifacts
from dasbench.diffusion.families import pixel
from tiny import DIFFUSION, MODEL

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
SIZES = ("--timesteps", "2", "--dimensions", "128")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A pipeline, a folder of six training images, and a query."""
    folder = tmp_path_factory.mktemp("place")
    unet, process = pixel.build(MODEL, DIFFUSION, (3, 8, 8), ("answers", 0))
    pixel.save(folder / "pipeline", unet, process)
    (folder / "train").mkdir()
    for i, image in enumerate(PIXELS):
        Image.fromarray(image).save(folder / f"train/{i}.png")
    Image.fromarray(255 - PIXELS[0]).save(folder / "query.png")
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Call the command in ``place``; its status, and what it prints."""
    monkeypatch.chdir(place)

    def call(*words):
        status = tool.main(list(map(str, words)))
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def made(place):
    """An index."""
    words = [place / "pipeline", place / "train", "--out", place / "index", *SIZES]
    assert tool.main(["index", *map(str, words)]) == 0
    return place / "index"


def test_an_index_is_asked(run, made, tmp_path):
    csv, scores = tmp_path / "answer.csv", tmp_path / "scores.npy"
    status, told, _ = run(
        "ask", "train/3.png", "query.png", "--index", made, "--csv", csv, "--scores", scores
    )
    assert status == 0
    lines = told.split("train/3.png\n", 1)[1].splitlines()
    assert lines[0].split()[0] == "1"
    assert lines[0].endswith("train/3.png")
    assert "self-check: 6 of 6 training images come out on top of their own query" in told
    matrix = artifacts.load_array(scores, (6, 2))
    assert matrix[:, 0].argmax() == 3
    table = pd.read_csv(csv)
    assert table["image"][0].endswith("train/3.png")
    assert table["score"][0] == pytest.approx(matrix[3, 0])


def test_the_page_is_written(run, made, tmp_path):
    pytest.importorskip("dasbench.reports.answer_page")
    status, told, _ = run("ask", "query.png", "--index", made, "--page", tmp_path / "answer.html")
    assert (status, f"the answer is in {tmp_path / 'answer.html'}" in told) == (0, True)
    assert (tmp_path / "answer.html").read_text().startswith("<!")


def test_images_are_added(run, place, tmp_path):
    assert run("index", "pipeline", "train", "--out", tmp_path / "index", *SIZES)[0] == 0
    status, told, _ = run("add", "query.png", "--index", tmp_path / "index")
    assert status == 0
    assert "7 training images" in told
    told = run("ask", "query.png", "--index", tmp_path / "index")[1]
    first = next(line for line in told.splitlines() if line.split()[:1] == ["1"])
    assert first.endswith("query.png")


def test_shares_are_told_what_is_left(run, tmp_path):
    words = ("index", "pipeline", "train", "--out", tmp_path / "index", *SIZES)
    for share in ("1/2", "2/2"):
        assert f"share {share} is done; when all are" in run(*words, "--shard", share)[1]
    assert "6 of 6 come out on top" in run(*words)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ask", "query.png", "--index", "train"), r"dasbench: train is no index: index.json is"),
        (("ask", "gone.png", "--index", "index"), "dasbench: the queries are missing: gone.png"),
        (("ask", "query.png", "--index", "index", "--csv", "a.txt"), "--csv is a.txt, expected"),
        (("ask", "query.png", "--index", "index", "--prompt", "x"), "the model takes none"),
        (("index", "pipeline", "train", "--out", "new", "--dtype", "x"), 'dtype is "x", expected'),
        (("index", "gone", "train", "--out", "new"), "gone is no folder here"),
        (("index", "pipeline", "gone", "--out", "new"), "the training images are missing: gone"),
    ],
)
def test_a_mistake_is_one_sentence(run, made, words, told):
    status, _, error = run(*words)
    assert status == 1
    assert told in error
    assert "Traceback" not in error


def test_the_second_question_computes_no_features_of_training_images(
    run, place, tmp_path, monkeypatch, capsys
):
    """``./run attribute`` keeps its indexes, by the bytes of model and images and the settings."""
    sizes = {"timesteps": 2, "dimensions": 128}
    defaults = index_settings.FEATURE_DEFAULTS | sizes
    monkeypatch.setattr(index_settings, "FEATURE_DEFAULTS", defaults)
    computed, features = [], index_features.features

    def counted(*args):
        computed.append(args[2])
        return features(*args)

    monkeypatch.setattr(index_features, "features", counted)

    def ask(*words):
        computed.clear()
        given = ["query.png", "--model", "pipeline", "--data", "train", "--cache", tmp_path, *words]
        monkeypatch.setattr(sys, "argv", ["attribute", *map(str, given)])
        attribute.main()
        return capsys.readouterr().out

    first = ask()
    assert "train" in computed
    assert ask() == first
    assert set(computed) == {"query"}
    (place / "train/5.png").rename(place / "train/last.png")
    assert "train/last.png" in ask()
    assert set(computed) == {"query"}
    (place / "train/last.png").rename(place / "train/5.png")
    ask("--damping", "0.1")
    assert "train" in computed
    indexes = [place for place in tmp_path.iterdir() if place.is_dir()]
    assert len(indexes) == 2
    assert all((folder / index.CHECKED).is_file() for folder in indexes)
    assert len(list(tmp_path.glob("*.html"))) == 2  # a page for each index: the query is the same


def test_it_is_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "dasbench", "--version"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0.1.0"
