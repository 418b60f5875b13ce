"""Indexes that were damaged, stopped, moved or mixed: found before an answer, and made again."""

import argparse
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dasbench
from dasbench.commands import index_features, index_manifest, questions
from dasbench.errors import UserError
from tiny_index import MORE, PIXELS, build, network_and_process

UNSEEN = np.random.default_rng(2).integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)
BOTH = np.concatenate([PIXELS, MORE])


@pytest.fixture(scope="module")
def model():
    return network_and_process()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(index_manifest, "CHUNK", 8)


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_manifest, "CHUNK", 8)
        build(model, place, decoys=UNSEEN)
    return place


@pytest.fixture(scope="module")
def extended(model, made, tmp_path_factory):
    place = tmp_path_factory.mktemp("extended") / "index"
    shutil.copytree(made, place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_manifest, "CHUNK", 8)
        dasbench.Index.open(place, model).add(MORE)
    return place


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made, tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def larger(extended, tmp_path):
    shutil.copytree(extended, tmp_path / "larger")
    return tmp_path / "larger"


def scores(place, model, queries=PIXELS[:3]):
    return dasbench.Index.open(place, model).ask(queries).scores


def flipped(file):
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(bytes(data))


FILES = [
    *("slabs/000/train/000000000-*.npy", "slabs/001/train/000000016-*.npy"),
    *("slabs/000/decoys/*.npy", "slabs/001/eigenvectors-*.npy", "slabs/000/factor-*.npy"),
    *("slabs/000/decoy_lengths-*.npy", "slabs/001/kernel.json", "pixels-*.npy", "images-*.json"),
    *("decoys-*.npy", "checked.json", "held-out-training-*.npy", "held-out-decoys-*.npy"),
]


@pytest.mark.parametrize("how", [flipped, Path.unlink], ids=["flipped", "missing"])
@pytest.mark.parametrize("pattern", FILES)
def test_a_damaged_file_is_found_before_an_answer_and_made_again(model, made, copy, pattern, how):
    [file] = copy.glob(pattern)
    how(file)
    with pytest.raises(UserError, match=r"(missing or damaged|not complete).*same settings again"):
        scores(copy, model)
    build(model, copy, decoys=UNSEEN)
    np.testing.assert_array_equal(scores(copy, model), scores(made, model))
    held = [place.name for place in sorted(copy.glob("held-out-*"))]
    assert held == [place.name for place in sorted(made.glob("held-out-*"))]


@pytest.mark.parametrize("pattern", FILES)
def test_all_images_make_a_damaged_file_of_an_extended_index_again(
    model, extended, larger, pattern
):
    [file] = larger.glob(pattern)
    flipped(file)
    with pytest.raises(UserError, match=r"(missing or damaged|not complete).*same settings again"):
        scores(larger, model)
    build(model, larger, BOTH, decoys=UNSEEN)
    np.testing.assert_array_equal(scores(larger, model), scores(extended, model))


@pytest.mark.parametrize("pattern", FILES)
def test_the_first_images_make_all_files_but_those_of_all_images_again(
    model, extended, larger, pattern
):
    [file] = larger.glob(pattern)
    file.unlink()
    if not pattern.startswith(("pixels", "images")):
        build(model, larger, decoys=UNSEEN)
        np.testing.assert_array_equal(scores(larger, model), scores(extended, model))
        return
    for run in (lambda: build(model, larger, decoys=UNSEEN), lambda: scores(larger, model)):
        with pytest.raises(UserError, match=r"again from all 27 training images, in the order in"):
            run()


def test_the_call_in_the_message_repairs_an_index_of_folders(model, tmp_path):
    first = pictures(tmp_path / "z", ["a.png", "b.png", "c.png"], (8, 8), seed=4)
    added = pictures(tmp_path / "a", ["0.png"], (8, 8), seed=5)
    build(model, tmp_path / "index", first).add(added)
    before = sorted(file.name for file in (tmp_path / "index").glob("*.*"))
    flipped(next((tmp_path / "index").glob("images-*.json")))
    with pytest.raises(
        UserError, match=r"Index\.build\(MODEL, \[FIRST, ADDED, \.\.\.\], '.*index'"
    ):
        scores(tmp_path / "index", model)
    build(model, tmp_path / "index", [first, added])
    assert scores(tmp_path / "index", model).shape == (4, 3)
    assert sorted(file.name for file in (tmp_path / "index").glob("*.*")) == before


def test_an_addition_does_not_go_on_with_damaged_images(model, copy, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            dasbench.Index.open(copy, model).add(MORE)
    [pixels] = (file for file in copy.glob("pixels-*.npy") if len(np.load(file)) == len(BOTH))
    flipped(pixels)
    with pytest.raises(UserError, match=r"damaged, such as pixels-.*again from all 27 training"):
        dasbench.Index.open(copy, model, complete=False).add(MORE)
    build(model, copy, BOTH, decoys=UNSEEN)
    assert scores(copy, model, MORE).argmax(axis=0).tolist() == list(range(20, 27))


@pytest.mark.parametrize("key", ["ranks", "rows", "count", "hash"])
def test_a_changed_self_check_is_found(model, made, copy, key):
    file = copy / "checked.json"
    content = json.loads(file.read_text())
    content[key] = [*content[key][:-1], 3] if isinstance(content[key], list) else 4
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not complete; build it with the same settings again"):
        dasbench.Index.open(copy, model)
    build(model, copy, decoys=UNSEEN)
    assert file.read_bytes() == (made / "checked.json").read_bytes()


@pytest.mark.parametrize("key", ["seed", "damping", "scales"])
def test_a_changed_setting_is_found(model, copy, key):
    content = json.loads((copy / "index.json").read_text())
    content[key] = [1.0, 1.0] if key == "scales" else 4
    (copy / "index.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"index\.json is damaged; build the index again in anoth"):
        scores(copy, model)


def test_features_without_their_settings_are_never_used(model, copy):
    (copy / "index.json").unlink()
    with pytest.raises(UserError, match=r"and no index\.json, so it is no index; give an empty"):
        build(model, copy, MORE)


def test_a_folder_with_other_files_is_no_place_for_an_index(model, tmp_path):
    files = [tmp_path / "images-0.png", tmp_path / ".part-of-my-work"]
    for file in files:
        file.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"holds images-0\.png and no index\.json"):
        build(model, tmp_path)
    assert [file.read_bytes() for file in files] == [b"mine"] * 2


def test_an_addition_deletes_no_file_of_the_user(model, copy):
    for name in ("images-0.png", "pixels-notes.txt", "slabs/000/train/._000000000-a.npy"):
        (copy / name).write_text("mine")
    dasbench.Index.open(copy, model).add(MORE)
    for name in ("images-0.png", "pixels-notes.txt", "slabs/000/train/._000000000-a.npy"):
        assert (copy / name).read_text() == "mine"
    assert len(list(copy.glob("pixels-*.npy"))) == 1


def stop_after(monkeypatch, calls):
    """Raise KeyboardInterrupt at a call of ``features``, counted from now."""
    features, left = index_features.features, iter(range(calls))

    def stopping(*args):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return features(*args)

    monkeypatch.setattr(index_features, "features", stopping)


@pytest.mark.parametrize("again", ["the addition", "the first command"])
def test_a_stopped_addition_goes_on(model, made, copy, tmp_path, monkeypatch, again):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            dasbench.Index.open(copy, model).add(MORE)
    with pytest.raises(UserError, match="not complete"):
        dasbench.Index.open(copy, model)
    half = dasbench.Index.open(copy, model, complete=False)
    with pytest.raises(UserError, match="repeat the addition that was stopped"):
        half.add(UNSEEN)
    if again == "the addition":
        half.add(MORE)
    else:
        build(model, copy, decoys=UNSEEN)
    whole = tmp_path / "whole"
    shutil.copytree(made, whole)
    dasbench.Index.open(whole, model).add(MORE)
    np.testing.assert_array_equal(scores(copy, model, MORE), scores(whole, model, MORE))


def test_an_object_that_is_out_of_date_adds_to_what_is_there(model, copy):
    first, second = (dasbench.Index.open(copy, model) for _ in range(2))
    second.ask(PIXELS[:1])
    first.add(MORE[:3])
    larger = second.add(MORE[3:6])
    assert larger.manifest.parts == [20, 3, 3]
    assert scores(copy, model, MORE[:6]).argmax(axis=0).tolist() == [20, 21, 22, 23, 24, 25]


def test_what_killed_processes_left_is_deleted(model, copy):
    left = copy / "slabs/000/.part-abc"
    left.mkdir()
    (left / "half.npy").write_text("half")
    build(model, copy, decoys=UNSEEN)
    assert not list(copy.rglob(".part-*"))


def test_decoys_that_are_training_images_are_refused(model, tmp_path):
    decoys = np.concatenate([UNSEEN, PIXELS[4:6]])
    with pytest.raises(UserError, match=r"2 of 10 decoys are training images, too: image 8, image"):
        build(model, tmp_path, decoys=decoys)


def test_decoys_are_not_added_as_training_images(model, copy):
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    with pytest.raises(
        UserError, match=r"2 of 9 images are decoys of the index in .*: image 7, im"
    ):
        dasbench.Index.open(copy, model).add(np.concatenate([MORE, UNSEEN[3:5]]))
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == before


def pictures(folder, names, size=(10, 8), seed=4):
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for name in names:
        Image.fromarray(rng.integers(0, 256, size).astype(np.uint8)).save(folder / name)
    return folder


def test_a_renamed_file_has_its_new_name_in_answers(model, tmp_path):
    folder = pictures(tmp_path / "data", [f"{i}.png" for i in range(6)], (8, 8))
    build(model, tmp_path / "index", folder)
    (folder / "5.png").rename(folder / "9.png")
    index = build(model, tmp_path / "index", folder)
    assert str(folder / "9.png") in [one.name for one in index.training.pictures]


def test_queries_and_additions_are_read_as_the_index_was(model, tmp_path):
    names = [f"{i}.png" for i in range(6)]
    folder = pictures(tmp_path / "data", names)
    how = {"resize": "stretch"}
    index = build(model, tmp_path / "index", folder, reading=how)
    asked = dasbench.Index.open(tmp_path / "index", model).ask(folder)
    np.testing.assert_array_equal(asked.query_pixels, index.training.pixels)
    larger = index.add(pictures(tmp_path / "more", ["a.png"]))
    whole = build(model, tmp_path / "whole", tmp_path / "more", reading=how)
    np.testing.assert_array_equal(larger.training.pixels[6:], whole.training.pixels)


@pytest.mark.parametrize(
    ("reading", "told"),
    [
        ({"resise": "pad"}, "reading has 'resise', expected resize, background, range"),
        ({"resize": "foo"}, "resize is 'foo', expected one of crop, pad, stretch"),
        ({"range": [5, 1]}, r"range is \[5, 1\], expected two finite numbers"),
    ],
)
def test_unknown_ways_of_reading_are_refused(model, made, tmp_path, reading, told):
    with pytest.raises(UserError, match=told):
        build(model, tmp_path, reading=reading)
    with pytest.raises(UserError, match=told):
        dasbench.Index.open(made, model).ask(PIXELS[:1], **reading)


def test_a_file_given_twice_is_refused(model, tmp_path):
    folder = pictures(tmp_path / "data", ["a.png", "b.png"], (8, 8))
    files = [folder / "a.png", folder / "b.png", folder / "a.png"]
    with pytest.raises(UserError, match=r"a\.png is given twice; give each file once"):
        build(model, tmp_path / "index", files)


def test_a_label_of_a_model_without_classes_is_refused(model, made):
    with pytest.raises(UserError, match="a label was given, but the model takes no classes"):
        dasbench.Index.open(made, model).ask(PIXELS[:1], labels=[3])


def test_the_setting_that_differs_is_named_alone(model, copy):
    with pytest.raises(UserError, match=r"is an index of dimensions 64, not 32; give another"):
        build(model, copy, decoys=UNSEEN, dimensions=32)


def test_a_name_that_is_no_text_stands_in_the_table(model, tmp_path):
    folder = pictures(tmp_path / "data", ["a.png", "b.png"], (8, 8))
    name = os.fsdecode(b"\xff.png")
    (folder / "b.png").rename(folder / name)
    answer = build(model, tmp_path / "index", folder).ask(folder / name)
    args = argparse.Namespace(csv=tmp_path / "a.csv", page=tmp_path / "a.html", scores=None, top=2)
    questions.write(answer, args)
    assert "\\xff.png" in (tmp_path / "a.csv").read_text()
    assert (tmp_path / "a.html").is_file()
