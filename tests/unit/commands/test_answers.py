"""``./run attribute`` as a person calls it: what is refused, told, read, and checked."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dasbench
from dasbench.attribution import indexed, self_check
from dasbench.commands import (
    answers,
    attribute,
    attributed_model,
    image_files,
    index_images,
    index_settings,
    training_files,
)
from dasbench.core import artifacts, tables
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from tiny import DIFFUSION, MODEL

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
FEATURES = {"timesteps": 3, "dimensions": 512}


@pytest.fixture(scope="module")
def pair():
    unet, process = pixel.build(MODEL, DIFFUSION, (3, 8, 8), ("answers", 0))
    return unet.eval(), process


@pytest.fixture
def place(tmp_path, pair):
    """A pipeline, a folder of six training images, and a query."""
    pixel.save(tmp_path / "pipeline", *pair)
    (tmp_path / "train").mkdir()
    for i, image in enumerate(PIXELS):
        Image.fromarray(image).save(tmp_path / f"train/{i}.png")
    Image.fromarray(255 - PIXELS[0]).save(tmp_path / "query.png")
    return tmp_path


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Call the command with paths relative to ``place``; what it prints."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(
        index_settings, "FEATURE_DEFAULTS", index_settings.FEATURE_DEFAULTS | FEATURES
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))

    def call(*words, model=True):
        own = ("--model", "pipeline", "--data", "train") if model else ()
        monkeypatch.setattr(sys, "argv", ["attribute", *map(str, words), *own])
        attribute.main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def no_work(monkeypatch):
    """The network must not be looked at."""

    def fail(*_):
        raise AssertionError("work has begun")

    monkeypatch.setattr(attributed_model, "load", fail)


def test_a_training_image_stands_first_behind_itself(run):
    told = run("train/3.png", "query.png", "--damping", "1e-6")
    first = told.split("train/3.png\n", 1)[1].splitlines()[0]
    assert first.split()[0] == "1"
    assert first.endswith("train/3.png")
    assert "check passed: 7 training images come out on top of their own query" in told


def test_an_answer_without_sense_is_a_failed_check(run, monkeypatch):
    """Scores that do not depend on the query, as from too few dimensions."""

    def score(slabs, queries, *_, **__):
        return indexed.Scores(np.arange(6.0)[:, None] * np.ones(len(queries[0])))

    monkeypatch.setattr(indexed, "score", score)
    told = run("train/3.png")
    assert "train/3.png is a training image and has rank 3 for itself" in told
    assert "failed check: 6 of 7 training images do not come out on top" in told
    assert "mostly noise" in told


def test_a_single_failure_does_not_condemn_all_ranks():
    assert answers.sentence(1, 17, [3]) == (
        "failed check: 1 of 17 training images does not come out on top of its own query (rank 3), "
        "so other ranks are off as well; take more timesteps or dimensions, or a smaller "
        "damping"
    )
    assert "do not come out" in answers.sentence(9, 17, [2] * 9)
    assert "so these ranks are mostly noise" in answers.sentence(9, 17, [2] * 9)


def test_the_python_door_warns_too(pair, monkeypatch):
    good = dasbench.attribute(pair, PIXELS, PIXELS, "das_common", damping=1e-6, **FEATURES)
    assert good.argmax(0).tolist() == [0, 1, 2, 3, 4, 5]
    monkeypatch.setattr(
        attribute.interface,
        "path",
        lambda options, inputs, dampings: iter([(1.0, np.ones((6, len(inputs.query_images))))]),
    )
    with pytest.warns(UserWarning, match=r"failed check: 8 of 8 .*\(ranks 6, 6, 6"):
        # the two queries and all six training images
        dasbench.attribute(pair, PIXELS, PIXELS[:2], "das_common", **FEATURES)


def test_the_python_door_asks_about_training_images_of_its_own_accord(pair):
    """The query is no training image, and yet the damping is found to be too large."""
    with pytest.warns(UserWarning, match=r"failed check: \d of 6 training images"):
        dasbench.attribute(pair, PIXELS, 255 - PIXELS[:1], "das_common", damping=1e6, **FEATURES)


def test_identical_training_images_share_the_first_place():
    images = np.stack([PIXELS[0], PIXELS[1], PIXELS[0]])
    same = self_check.itself(images, PIXELS[:3])
    assert {q: rows.tolist() for q, rows in same.items()} == {0: [0, 2], 1: [1]}
    scores = np.array([[0.9, 0.5, 0], [0.1, 0.4, 0], [0.8, 0.1, 0]])
    assert answers.failed(scores, same) == {1: 2}
    assert answers.failed(np.full((3, 3), np.nan), same) == {0: 2, 1: 3}


def summary(folder, low, method="das"):
    row = {"method": method, "transform": "square", "queries": "gen", "target": "loss"}
    row |= {"selection": "held_out", "lds": low + 0.02, "lo": low, "hi": low + 0.04}
    best = row | {"selection": "oracle", "lo": 0.3}
    tables.save_table(folder / "lds/summary.csv", pd.DataFrame([best, row]))


def test_an_experiment_that_measured_noise_says_so(tmp_path):
    folder = tmp_path / "results/mine"
    assert "not judged: mine has no LDS, so how good" in answers.measured(folder, "das", "square")
    summary(folder, -0.01)
    told = answers.measured(folder, "das", "square")
    assert told.startswith("warning: LDS 1.0 % [-1.0, 3.0] for generated images in mine")
    assert "this answer is noise" in told
    summary(folder, 0.1)
    assert answers.measured(folder, "das", "square").startswith("judged: LDS 12.0 % [10.0, 14.0]")
    assert "has no LDS of trak" in answers.measured(folder, "trak", "identity")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gone.png", "lost.png"), r"the queries are missing: gone\.png, lost\.png"),
        (("query.png", "--damping", "-1"), "damping is -1, expected a positive number"),
        (("query.png", "--damping", "-1e-4"), "damping is -0.0001, expected a positive number"),
        (("query.png", "--damping", "0"), "damping is 0, expected a positive"),
        (("query.png", "--damping", "nan"), "damping is nan, expected a positive"),
        (("query.png", "--top", "0"), "--top is 0, expected 1 or more"),
        (("query.png", "--top", "-3"), "--top is -3, expected 1 or more"),
        (("query.png", "--scores", "scores.txt"), r"expected a file with the ending \.npy"),
        (("query.png", "--scores", "query.png/a.npy"), "cannot be written: .*query.png refuses"),
        (("query.png", "--scores", "train"), r"expected a file with the ending \.npy"),
        (("query.png", "--range", "1", "0"), "the smaller first"),
        (("query.png", "--method", "nope"), "'nope' cannot be used here"),
        (("pipeline",), "pipeline holds no image files"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(run, no_work, words, told):
    with pytest.raises(UserError, match=told) as error:
        run(*words)
    assert len(str(error.value).splitlines()) == 1


def test_places_that_refuse_files_are_refused_before_the_work(run, no_work):
    for place in ("/proc", "query.png"):
        with pytest.raises(UserError, match=rf"--scores {place}/scores\.npy cannot be written"):
            run("query.png", "--scores", f"{place}/scores.npy")


@pytest.mark.parametrize(("flag", "other"), [("--model", "--data"), ("--data", "--model")])
def test_missing_folders_are_missing(run, no_work, flag, other):
    with pytest.raises(UserError, match=f"{flag} gone is missing"):
        run("query.png", flag, "gone", other, "train", model=False)


def test_a_folder_of_queries_is_read_as_one(run, place):
    run("train", "query.png", "--scores", "out/scores.npy")
    matrix = artifacts.load_array(place / "out/scores.npy", (6, 7))
    run("train/2.png", "--scores", "one.npy")
    one = artifacts.load_array(place / "one.npy")[:, 0]
    np.testing.assert_allclose(one, matrix[:, 2], rtol=1e-4, atol=1e-6 * matrix.max())


def test_all_bad_files_are_named_at_once_or_left_out(run, place):
    for name in ("a", "b"):
        (place / f"train/{name}.png").write_bytes(b"no picture")
    (place / "train/c.heic").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"3 files .*a\.png .*b\.png .*c\.heic .*--skip-bad"):
        run("query.png")
    told = run("query.png", "train/a.png", "--skip-bad", "--top", "9")
    assert told.count("left out: train/a.png") == 2  # as a query, and as a training image
    assert "left out: train/c.heic" in told
    assert "train/5.png" in told
    with pytest.raises(UserError, match="no image is left"):
        run("train/a.png", "--skip-bad")


def test_animated_and_cropped_pictures_are_told(run, place):
    frames = [Image.fromarray(image).resize((12, 8)) for image in PIXELS[:3]]
    frames[0].save(place / "moving.gif", save_all=True, append_images=frames[1:])
    told = run("moving.gif")
    assert "note: moving.gif has several frames or pages (3 at most): the first is used" in told
    assert "note: moving.gif is not square and cropped to the centre" in told
    assert "cropped to" not in run("moving.gif", "--resize", "pad")


def test_identical_pictures_and_what_is_left_out_are_told(run, place):
    (place / "train/copy.png").write_bytes((place / "train/0.png").read_bytes())
    (place / "train/notes.txt").write_text("no picture")
    told = run("query.png")
    assert "2 pictures are identical to another one, in 1 groups (train/0.png = " in told
    assert "note: train: left out: 1 files that are no pictures (notes.txt)" in told


def test_names_are_printed_on_one_line(run, place):
    (place / "train/0.png").rename(place / "train/0\n\x1b[2J.png")
    told = run("query.png")
    assert "train/0\\n\\x1b[2J.png" in told
    assert "\x1b" not in told


def test_a_range_is_of_the_training_images_and_the_queries(run, place):
    deep = (PIXELS[..., 0].astype(np.uint16)) * 16
    for i, image in enumerate(deep):
        Image.fromarray(image).save(place / f"train/{i}.png")
    Image.fromarray(deep[2]).save(place / "query.png")
    with pytest.raises(UserError, match="nearly black"):
        run("query.png")
    told = run("query.png", "--range", "0", "4095", "--damping", "1e-6")
    assert told.split("query.png\n")[1].splitlines()[0].endswith("train/2.png")


def test_a_broken_link_is_told(run, place):
    (place / "link.png").symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"1 files .*link\.png \(a broken link\)"):
        run("link.png")


def test_read_images_names_all_bad_ones(place):
    with pytest.raises(UserError, match=r"2 files cannot be read as images: .*gone.*lost"):
        image_files.read_images([place / "gone.png", place / "lost.png"], (3, 8, 8))


def test_decoys_give_q_values_and_a_page_is_always_written(run, place):
    (place / "unseen").mkdir()
    for i, image in enumerate(np.random.default_rng(5).permuted(PIXELS, axis=0)):
        Image.fromarray(image[::-1]).save(place / f"unseen/{i}.png")
    told = run("query.png", "--decoys", "unseen", "--timesteps", "3")
    assert "false discovery rate" in told or "too few decoys" in told
    (page,) = [line.split()[-1] for line in told.splitlines() if line.startswith("the answer is")]
    text = Path(page).read_text()
    assert "q-value" in text
    again = run("query.png", "--decoys", "unseen", "--timesteps", "3", "--page", "own.html")
    assert (place / "own.html").is_file()
    assert again.splitlines()[:-1] == told.splitlines()[:-1]


def test_held_out_images_of_an_experiment_are_decoys_unless_they_are_training_images(tmp_path):
    unseen = np.concatenate([PIXELS[:2], 255 - PIXELS[2:]])
    (tmp_path / "examples").mkdir()
    labels = np.arange(6)
    artifacts.save_examples(tmp_path / "examples/val.npz", unseen, labels, labels + 10)
    training = index_images.read(PIXELS, (3, 8, 8), "training images")
    found = training_files.held_out(tmp_path, training, None)
    np.testing.assert_array_equal(found.pixels, unseen[2:])
    assert found.pictures[0].name == "id 12 (label 2)"
    assert training_files.held_out(tmp_path / "other", training, None) is None
