"""Images in every form that an index takes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dasbench.commands import index_images
from dasbench.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype(np.uint8)
SHAPE = (1, 8, 8)


@pytest.fixture
def folder(tmp_path):
    for i, image in enumerate(PIXELS):
        file = tmp_path / ("cat" if i < 2 else "dog") / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(file)
    return tmp_path


def read(images, **options):
    return index_images.read(images, SHAPE, "training images", **options)


def test_a_folder_gives_pixels_names_files_and_classes(folder):
    for given in (folder, str(folder), [folder]):
        found = read(given)
        np.testing.assert_array_equal(found.pixels, PIXELS)
        assert found.labels == ["cat", "cat", "dog", "dog"]
        assert [Path(one.path).name for one in found.pictures] == [f"{i}.png" for i in range(4)]
        assert all(Path(one.path).is_file() for one in found.pictures)


def test_files_arrays_and_pictures_are_the_same_images(folder):
    files = sorted(folder.rglob("*.png"))
    pictures = [Image.fromarray(image[..., 0]) for image in PIXELS]
    for given in (files, PIXELS, pictures, PIXELS.transpose(0, 3, 1, 2)):
        found = read(given)
        np.testing.assert_array_equal(found.pixels, PIXELS)
        assert found.labels is None
    assert [one.name for one in read(PIXELS).pictures][:2] == ["image 0", "image 1"]


class Table:
    """A ``datasets.Dataset``, as far as it is used."""

    def __init__(self, columns, names=None):
        self.columns, self.column_names = columns, list(columns)
        kind = type("ClassLabel", (), {"names": names})
        self.features = {name: kind for name in columns}

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.columns[key]
        return {name: column[key] for name, column in self.columns.items()}


def test_a_dataset_gives_its_pictures_and_labels():
    pictures = [Image.fromarray(image[..., 0]) for image in PIXELS]
    found = read(Table({"id": [1, 2, 3, 4], "image": pictures, "label": [0, 1, 1, 0]}, ["a", "b"]))
    np.testing.assert_array_equal(found.pixels, PIXELS)
    assert found.labels == [0, 1, 1, 0]  # the numbers that the model was trained with
    assert [one.label for one in found.pictures] == ["a", "b", "b", "a"]
    assert read(Table({"image": pictures})).labels is None
    with pytest.raises(UserError, match=r"Dataset without a column of pictures \(it has id\)"):
        read(Table({"id": [1, 2]}))


def test_a_dataset_gives_its_prompts(folder):
    pictures = [Image.fromarray(image[..., 0]) for image in PIXELS]
    texts = ["a", "b", "", "c"]
    table = Table({"image": pictures, "label": [0, 1, 1, 0], "text": texts}, None)
    assert read(table, word="prompt").labels == texts
    assert read(Table({"image": pictures, "label": [0, 1, 1, 0]}), word="prompt").labels is None
    found = read(folder, word="prompt")  # names of subfolders are no prompts
    assert found.labels is None
    assert {one.label for one in found.pictures} == {None}
    assert read(folder, labels="a cat", word="prompt").labels == ["a cat"] * 4


def test_a_csv_gives_labels_to_the_images_of_a_folder(folder, tmp_path):
    table = tmp_path / "table.csv"
    rows = ["cat/0.png,owl", "cat/1.png,cow", "dog/2.png,owl", "dog/3.png,owl"]
    table.write_text("\n".join(["file,label", *rows]))
    found = read(folder, labels=table)
    assert found.labels == [one.label for one in found.pictures] == ["owl", "cow", "owl", "owl"]
    with pytest.raises(UserError, match="expected one column file and one column prompt"):
        read(folder, labels=table, word="prompt")
    table.write_text("\n".join(["file,label", *rows[:3]]))
    with pytest.raises(UserError, match=r"no label of 1 of 4 images: .*dog/3.png; add a row"):
        read(folder, labels=table)
    with pytest.raises(UserError, match="names files of one folder, expected such a folder"):
        read([folder / "cat", folder / "dog"], labels=table)


def test_labels_are_one_for_each_or_one_for_all():
    assert read(PIXELS, labels="cat").labels == ["cat"] * 4
    assert read(PIXELS, labels=np.int64(3)).labels == [3] * 4
    found = read(PIXELS, labels=np.array([0, 1, 2, 1]))
    assert found.labels == [0, 1, 2, 1]
    assert [one.label for one in found.pictures] == ["0", "1", "2", "1"]
    with pytest.raises(UserError, match="there are 3 labels for 4 training images; give one"):
        read(PIXELS, labels=[1, 2, 3])


def test_the_hash_is_of_pixels_and_labels():
    hashes = [
        read(PIXELS).digest,
        read(255 - PIXELS).digest,
        read(PIXELS, labels=1).digest,
        read(PIXELS[:3]).digest,
    ]
    assert len(set(hashes)) == 4
    first, second = read(PIXELS[:1], labels=1), read(PIXELS[1:], labels=[1, 1, 1])
    assert first.and_more(second).digest == read(PIXELS, labels=1).digest
    assert read(PIXELS).some([0, 1, 2]).digest == hashes[3]
