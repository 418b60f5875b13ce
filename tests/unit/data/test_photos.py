"""Patches of photographs: as slow code cuts them, without flat ones; files have their digests."""

import numpy as np
import pytest
from PIL import Image

import sources as made
from dasbench.data import files, photos
from dasbench.errors import UserError

ABOUT = {"name": "Toy", "licence": "CC0", "size": "1 MB", "fetch": "toy from x", "files": {}}


def options(path, **changes):
    data = {"dataset": "photos", "classes": "all", "size": None, "limit": None}
    return {**data, "path": str(path), "about": ABOUT, **changes}


def test_patches_are_the_squares_of_the_scaled_photograph_that_have_structure(tmp_path):
    path = made.photos(tmp_path)[3]
    read = photos.read(options(tmp_path, classes=[3], size=8))
    assert read.classes[3] == "FreshFlower"
    assert set(read.labels) == {3}
    picture = Image.open(path)
    small = np.asarray(picture.resize((128, 80), Image.Resampling.LANCZOS)).astype(float)
    structured = []
    for row in range(10):
        for column in range(16):
            patch = small[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            grey = [0.299 * r + 0.587 * g + 0.114 * b for line in patch for r, g, b in line]
            mean = sum(grey) / 64
            if (sum((value - mean) ** 2 for value in grey) / 64) ** 0.5 >= 8:
                structured.append(patch.astype(np.uint8).tobytes())
    assert 0 < len(structured) < 160
    places = [structured.index(patch.tobytes()) for patch in read.images]
    assert len(places) == min(80, len(structured))
    assert places == sorted(set(places))


def test_all_photographs_give_patches_for_training_and_held_out_alike(tmp_path):
    made.photos(tmp_path, (320, 200))
    read = photos.read(options(tmp_path))
    assert read.images.shape[1:] == (16, 16, 3)
    assert set(read.labels) == set(range(16))
    assert np.bincount(read.labels).max() <= 80
    assert not read.parts.any()  # split_examples draws both from one part
    assert read.read["photographs"][0] == photos.PHOTOGRAPHS[0]._asdict()


def test_a_flat_photograph_gives_no_patch():
    flat = np.full((3, 8, 8, 3), 90, np.uint8)
    flat[1, :, ::2] += 15  # a standard deviation of 7.5
    flat[2, :, ::2] += 17  # of 8.5
    np.testing.assert_array_equal(photos.choose(flat, "Aqua"), flat[2:])


def test_files_may_lie_flat_and_are_believed_by_their_digests(tmp_path):
    path = made.photos(tmp_path / "package")[0]
    flat = tmp_path / "Aqua.jpg"
    flat.write_bytes(path.read_bytes())
    assert len(photos.read(options(tmp_path, classes=[0])).labels)
    about = {**ABOUT, "files": {"Aqua.jpg": {"sha256": files.digest(flat)}}}
    assert len(photos.read(options(tmp_path, classes=[0], about=about)).labels)
    flat.write_bytes(made.jpeg(99))
    with pytest.raises(UserError, match="has the SHA-256"):
        photos.read(options(tmp_path, classes=[0], about=about))


def test_absent_and_damaged_photographs_are_errors(tmp_path):
    with pytest.raises(UserError, match="Toy is not here: fetch toy from x"):
        photos.read(options(tmp_path))
    (tmp_path / "Aqua.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match="is damaged"):
        photos.read(options(tmp_path))
