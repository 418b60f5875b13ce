"""``./run new-experiment`` on few, deep, odd, and held-out pictures, and for a quick trial."""

import re

import numpy as np
import pytest
import yaml
from PIL import Image
from test_new_experiment import pipeline, root  # noqa: F401

from dasbench.commands import new_experiment
from dasbench.core import query_kinds
from dasbench.data import folder
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.experiments.files.resolved import Resolved
from tiny import MODEL

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)


def many(place, count, first=0):
    place.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.fromarray(PIXELS[i]).save(place / f"{i:02d}.png")
    return place


@pytest.fixture
def checkpoint(tmp_path):
    return pipeline(tmp_path / "pipeline")


@pytest.fixture
def write(root, capsys):  # noqa: F811
    """Write an experiment file: what is printed, and the experiment."""

    def call(images, *more):
        file = root / config.FOLDER / "mine.yaml"
        file.unlink(missing_ok=True)
        new_experiment.main(["mine", "--images", str(images), *map(str, more)], root)
        return capsys.readouterr().out, config.load("mine", root)

    return call


@pytest.mark.parametrize("count", [2, 3, 5, 12, 40, 60])
def test_all_pictures_of_a_checkpoint_are_candidates(write, tmp_path, checkpoint, count):
    told, made = write(many(tmp_path / "own", count), "--checkpoint", checkpoint)
    assert made["data"]["train"] == count
    assert made["queries"]["val"] == 0
    assert made["queries"]["gen"] >= 4
    assert f"{count} training pictures of 8 x 8, no evaluation models" in told
    text = yaml.safe_dump(made)
    assert "held_out: null" in text


def test_the_kind_of_held_out_images_is_absent(write, tmp_path, checkpoint):
    _, made = write(many(tmp_path / "own", 6), "--checkpoint", checkpoint)
    assert query_kinds.of(made) == ("gen",)
    for options in config.methods(made).values():
        assert config.kinds(options) == ("gen",)
    for reasons in config.inapplicable(made).values():
        assert reasons == {"val": "no held-out images"}
    assert Resolved(made).methods


def test_more_than_a_thousand_pictures_are_all_candidates(write, tmp_path, checkpoint, monkeypatch):
    monkeypatch.setattr(new_experiment, "MOST", 10)
    _, made = write(many(tmp_path / "own", 30), "--checkpoint", checkpoint)
    assert made["data"]["train"] == 30


def test_held_out_pictures_are_queries_and_no_candidates(write, tmp_path, checkpoint):
    own, new = many(tmp_path / "own", 12), many(tmp_path / "new", 5, first=20)
    _, made = write(own, "--checkpoint", checkpoint, "--held-out", new)
    assert (made["data"]["train"], made["queries"]["val"], made["queries"]["gen"]) == (12, 5, 5)
    source = folder.read({**made["data"], "about": {}})
    assert source.parts.tolist() == [0] * 12 + [1] * 5
    many(tmp_path / "one", 1, first=40)
    with pytest.raises(UserError, match="--held-out: .*one holds 1 pictures, expected 2 or more"):
        write(own, "--checkpoint", checkpoint, "--held-out", tmp_path / "one")
    with pytest.raises(UserError, match="--held-out: .*gone is missing"):
        write(own, "--checkpoint", checkpoint, "--held-out", tmp_path / "gone")


def test_held_out_pictures_leave_all_others_to_training(write, tmp_path):
    own, new = many(tmp_path / "own", 45), many(tmp_path / "new", 6, first=50)
    _, made = write(own, "--held-out", new)
    assert (made["data"]["train"], made["queries"]["val"]) == (45, 6)


def test_a_judged_checkpoint_needs_some_pictures(write, tmp_path, checkpoint):
    own = many(tmp_path / "own", 7)
    with pytest.raises(UserError, match="holds 7 pictures, expected 8 or more"):
        write(own, "--checkpoint", checkpoint, "--lds")
    _, made = write(many(own, 8), "--checkpoint", checkpoint, "--lds")
    assert (made["data"]["train"], made["queries"]["val"]) == (8, 0)
    assert made["subsets"]
    with pytest.raises(UserError, match="holds 1 pictures, expected 2 or more"):
        write(many(tmp_path / "one", 1), "--checkpoint", checkpoint)


def test_a_trial_is_small(write, tmp_path, checkpoint):
    own = many(tmp_path / "own", 60)
    _, usual = write(own)
    _, quick = write(own, "--quick")
    assert quick["training"]["epochs"] < usual["training"]["epochs"] / 5
    assert quick["subsets"]["eval"]["models"] == 16
    assert quick["features"]["dimensions"] < usual["features"]["dimensions"]
    assert quick["queries"]["sampling_steps"] == 10
    _, checked = write(own, "--quick", "--checkpoint", checkpoint)
    assert checked["data"]["train"] == 60


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (0.0, "less than a minute"),
        (0.001, "less than a minute"),
        (1 / 60, "about 1 minute on"),
        (0.04, "about 2 minutes"),
        (0.9, "about 54 minutes"),
        (1.0, r"about 1\.0 hours"),
        (12.34, r"about 12\.3 hours"),
    ],
)
def test_hours_are_never_none(write, tmp_path, checkpoint, monkeypatch, hours, told):
    monkeypatch.setattr(new_experiment, "_hours", lambda *_: [hours])
    printed, _ = write(many(tmp_path / "own", 2), "--checkpoint", checkpoint)
    assert re.search(told, printed)
    assert " 0.0 hours" not in printed
    assert " 0 minutes" not in printed


def test_it_says_why_it_halves_the_size(write, tmp_path, monkeypatch):
    own = many(tmp_path / "own", 50)
    for file in own.iterdir():
        Image.open(file).resize((40, 32)).save(file)
    told, made = write(own)
    assert made["data"]["size"] == 16
    assert "note: pictures of about 32 are scaled to 16 x 16, since a core trains larger" in told
    assert "--size 32 keeps more" in told
    told, made = write(own, "--size", "32")
    assert made["data"]["size"] == 32
    assert "scaled to" not in told
    monkeypatch.setattr(new_experiment, "has_gpu", lambda: True)
    told, made = write(own)
    assert made["data"]["size"] == 32
    assert "scaled to" not in told


def test_options_that_the_checkpoint_settles_are_told(write, tmp_path, checkpoint):
    own = many(tmp_path / "own", 4)
    told, made = write(own, "--checkpoint", checkpoint, "--size", "32", "--grey")
    assert "--size 32 is not used: the checkpoint works on 8 x 8" in told
    assert "--grey is not used: the checkpoint works on 3 channels" in told
    assert (made["data"]["size"], made["data"]["channels"]) == (8, 3)


def test_deep_pictures_need_a_range_here_too(write, tmp_path, checkpoint):
    own = tmp_path / "own"
    own.mkdir()
    for i in range(4):
        Image.fromarray(PIXELS[i, ..., 0].astype(np.uint16) * 16).save(own / f"{i}.tif")
    with pytest.raises(UserError, match="nearly black"):
        write(own, "--checkpoint", checkpoint)
    _, made = write(own, "--checkpoint", checkpoint, "--range", "0", "4095")
    assert made["data"]["range"] == [0, 4095]
    Image.fromarray(np.zeros((8, 8), np.float32)).save(own / "x.tif")
    with pytest.raises(UserError, match=r"x\.tif .*floats from 0 to 0.*--range BLACK WHITE"):
        write(own, "--checkpoint", checkpoint)
    with pytest.raises(UserError, match="the smaller first"):
        write(own, "--checkpoint", checkpoint, "--range", "1", "0")


def test_what_is_left_out_and_what_is_identical_is_told(write, tmp_path, checkpoint):
    own = many(tmp_path / "own", 4)
    (own / "copy.png").write_bytes((own / "00.png").read_bytes())
    (own / "notes.txt").write_text("no picture")
    (own / "cats").symlink_to(many(tmp_path / "elsewhere", 3, first=10))
    (own / "empty").mkdir()
    told, made = write(own, "--checkpoint", checkpoint)
    assert made["data"]["train"] == 8
    assert "note: left out: 1 files that are no pictures (notes.txt)" in told
    assert "note: 2 pictures are identical to another one, in 1 groups (00.png = copy.png)" in told
    assert "1 subfolders without pictures (empty)" in told
    (own / "d.heic").write_bytes(b"")
    with pytest.raises(UserError, match=r"d\.heic \(\.heic is not read here; convert it"):
        write(own, "--checkpoint", checkpoint)
    _, made = write(own, "--checkpoint", checkpoint, "--skip-bad")
    assert made["data"]["train"] == 8


def test_a_file_is_no_folder(write, tmp_path, checkpoint):
    archive = tmp_path / "own.zip"
    archive.write_bytes(b"PK")
    with pytest.raises(UserError, match=r"--images: .*own\.zip is no folder but a file; unpack it"):
        write(archive, "--checkpoint", checkpoint)


def test_the_classes_of_a_checkpoint_are_numbers_in_their_order(write, tmp_path):
    for i in range(12):
        many(tmp_path / f"own/{i}", 1, first=i)
    place = pipeline(tmp_path / "classes", {**MODEL, "num_class_embeds": 12})
    _, made = write(tmp_path / "own", "--checkpoint", place)
    source = folder.read({**made["data"], "about": {}})
    assert [source.classes[i] for i in range(12)] == [str(i) for i in range(12)]


@pytest.mark.parametrize("inside", ["", "other/"])
def test_held_out_pictures_have_a_class_of_the_checkpoint(write, tmp_path, inside):
    for i, name in enumerate(("cats", "dogs")):
        many(tmp_path / "own" / name, 3, first=3 * i)
        many(tmp_path / "new" / name, 3, first=10 + 3 * i)
        many(tmp_path / f"strange/{inside}", 3, first=20)
    place = pipeline(tmp_path / "classes", {**MODEL, "num_class_embeds": 2})
    options = ["--checkpoint", place, "--held-out"]
    with pytest.raises(UserError, match="which no training picture has, but .* model of classes"):
        write(tmp_path / "own", *options, tmp_path / "strange")
    write(tmp_path / "own", *options, tmp_path / "new")
    plain = pipeline(tmp_path / "plain")
    told, _ = write(tmp_path / "own", "--checkpoint", plain, "--held-out", tmp_path / "strange")
    assert "held-out pictures" in told
    assert "have a label that no training picture has" in told


def test_held_out_pictures_are_looked_at_before_a_file_is_written(write, tmp_path, checkpoint):
    own, new = many(tmp_path / "own", 6), many(tmp_path / "new", 3, first=20)
    with pytest.raises(UserError, match=r"6 of the 6 held-out pictures .* are training pictures"):
        write(own, "--checkpoint", checkpoint, "--held-out", own)
    (new / "bad.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"new: 1 files cannot be read: bad\.png"):
        write(own, "--checkpoint", checkpoint, "--held-out", new)
    _, made = write(own, "--checkpoint", checkpoint, "--held-out", new, "--skip-bad")
    assert made["queries"]["val"] == 3


def test_a_jpeg_that_is_cut_short_is_refused_here_too(write, tmp_path, checkpoint):
    own = many(tmp_path / "own", 3)
    Image.fromarray(PIXELS[5]).save(own / "x.jpg", progressive=True)
    whole = (own / "x.jpg").read_bytes()
    (own / "x.jpg").write_bytes(whole[:-40] + b"\0" * 40)
    with pytest.raises(UserError, match=r"x\.jpg \(a JPEG that is cut short"):
        write(own, "--checkpoint", checkpoint)


@pytest.mark.parametrize(
    ("name", "told"), [("", "--images: it is empty"), ("a\nb", "has a line break or another")]
)
def test_paths_that_are_no_paths(write, tmp_path, checkpoint, capsys, name, told):
    many(tmp_path / name, 3)
    with pytest.raises(SystemExit):
        write(tmp_path / name if name else "", "--checkpoint", checkpoint)
    assert told in capsys.readouterr().err
