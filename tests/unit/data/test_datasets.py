"""Data sets from files: tiny archives in the official formats, and archives that are not to be."""

import hashlib
import io
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

import sources as made
from dasbench.data import artbench, celeba, cifar10, fashion
from dasbench.data import files as sources
from dasbench.errors import UserError

ABOUT = {"name": "Toy", "licence": "CC0", "size": "1 MB", "fetch": "toy.tar from x", "files": {}}


def options(path, **changes):
    data = {"dataset": "toy", "classes": "all", "size": None, "resize": "crop", "limit": None}
    return {**data, "path": str(path), "about": ABOUT, **changes}


def test_fashion_reads_its_four_files(tmp_path):
    expected = made.fashion(tmp_path)
    read = fashion.read(options(tmp_path))
    assert read.images.shape == (16, 28, 28, 1)
    np.testing.assert_array_equal(read.images[:8, ..., 0], expected["train"][0])
    np.testing.assert_array_equal(read.images[8:, ..., 0], expected["t10k"][0])
    np.testing.assert_array_equal(read.labels, [*range(8), *range(8)])
    np.testing.assert_array_equal(read.parts, [0] * 8 + [1] * 8)
    assert read.classes[9] == "ankle boot"


def test_fashion_keeps_classes_and_scales(tmp_path):
    expected = made.fashion(tmp_path, 20)["train"][0]
    read = fashion.read(options(tmp_path, classes=[3, 5], size=14))
    assert read.labels.tolist() == [3, 5, 3, 5] * 2
    slow = Image.fromarray(expected[3]).resize((14, 14), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(read.images[0, ..., 0], np.asarray(slow))


def test_fashion_believes_digests_alone(tmp_path):
    made.fashion(tmp_path)
    name = "t10k-labels-idx1-ubyte.gz"
    files = {name: {"sha256": "0" * 64, "unzipped_sha256": "0" * 64}}
    with pytest.raises(UserError, match="is not the published file"):
        fashion.read(options(tmp_path, about={**ABOUT, "files": files}))
    (tmp_path / name).write_bytes(b"\x1f\x8b damaged")
    with pytest.raises(UserError, match="is damaged"):
        fashion.read(options(tmp_path))


def test_fashion_refuses_other_idx_files(tmp_path):
    made.fashion(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    images.write_bytes((tmp_path / "train-labels-idx1-ubyte.gz").read_bytes())
    with pytest.raises(UserError, match="is no IDX file of this kind"):
        fashion.read(options(tmp_path))


def test_cifar_reads_its_archive(tmp_path):
    batch = made.cifar_batches(6)
    archive = made.cifar_binary(tmp_path / cifar10.ARCHIVE, batch)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    about = {**ABOUT, "files": {archive.name: {"sha256": digest}}}
    read = cifar10.read(options(tmp_path, about=about))
    rows = np.concatenate([rows for rows, _ in batch.values()])
    for i, row in enumerate(rows):  # planes of rows, the slow way
        for channel in range(3):
            plane = row[channel * 1024 : (channel + 1) * 1024].reshape(32, 32)
            np.testing.assert_array_equal(read.images[i, :, :, channel], plane)
    assert read.labels.tolist() == [0, 1, 2, 3, 4, 5] * 6
    assert read.parts.tolist() == [0] * 30 + [1] * 6
    assert read.read["archive_sha256"] == digest


def test_cifar_keeps_classes_and_a_limit_of_each_part(tmp_path):
    made.cifar_binary(tmp_path / cifar10.ARCHIVE, made.cifar_batches(8, (1, 4, 7, 9)))
    read = cifar10.read(options(tmp_path, classes=[1, 7], limit=3))
    assert set(read.labels.tolist()) == {1, 7}
    assert read.parts.tolist() == [0, 0, 0, 1, 1, 1]


def test_cifar_refuses_another_archive(tmp_path):
    made.cifar_binary(tmp_path / cifar10.ARCHIVE, made.cifar_batches(2))
    files = {cifar10.ARCHIVE: {"sha256": "0" * 64}}
    with pytest.raises(UserError, match="has the SHA-256"):
        cifar10.read(options(tmp_path, about={**ABOUT, "files": files}))
    (tmp_path / cifar10.ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be read"):
        cifar10.read(options(tmp_path))


def test_cifar_names_the_binary_archive_where_the_pickled_one_is(tmp_path, monkeypatch):
    pickled = tmp_path / cifar10.PICKLED
    made.cifar_binary(pickled, made.cifar_batches(1))
    monkeypatch.setattr(sources.tarfile, "open", None)  # the archive stays closed
    for place in (tmp_path, pickled):
        with pytest.raises(UserError, match="is the pickled archive, which is not read") as told:
            cifar10.read(options(place))
        sentence = str(told.value)
        assert len(sentence.splitlines()) == 1
        for part in (str(pickled), "fetch toy.tar from x", cifar10.ARCHIVE):
            assert part in sentence


def test_cifar_reads_the_binary_archive_beside_the_pickled_one(tmp_path):
    made.cifar_binary(tmp_path / cifar10.ARCHIVE, made.cifar_batches(1))
    (tmp_path / cifar10.PICKLED).write_bytes(b"not looked at")
    assert cifar10.read(options(tmp_path)).read["archive"] == cifar10.ARCHIVE


@pytest.mark.parametrize(("place", "value"), [(0, 10), (None, None)])
def test_cifar_refuses_damaged_batches(tmp_path, place, value):
    batch = made.cifar_batches(2)
    rows, labels = batch["data_batch_3"]
    if place is None:
        batch["data_batch_3"] = (rows[:, :-1], labels)
    else:
        labels[place] = value
    made.cifar_binary(tmp_path / cifar10.ARCHIVE, batch)
    with pytest.raises(UserError, match=r"data_batch_\d\.bin (ends within|has labels)"):
        cifar10.read(options(tmp_path))


@pytest.mark.parametrize("zipped", [False, True])
def test_celeba_cuts_and_splits_by_the_partition(tmp_path, zipped):
    made.celeba(tmp_path, "00120", zipped)
    read = celeba.read(options(tmp_path, size=70))
    assert read.images.shape == (4, 70, 70, 3)
    assert read.parts.tolist() == [0, 0, 1, 0]  # the validation part is left out
    with Image.open(io.BytesIO(made.jpeg(3))) as face:
        cut = face.convert("RGB").crop((19, 39, 159, 179))  # centre of 178 x 218
    slow = np.asarray(cut.resize((70, 70), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(read.images[2], slow)


@pytest.mark.parametrize("name", [celeba.IMAGES[1], celeba.PARTITION])
def test_celeba_believes_digests_alone(tmp_path, name):
    made.celeba(tmp_path, "02", zipped=True)
    digests = {
        file: {"sha256": hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()}
        for file in (celeba.IMAGES[1], celeba.PARTITION)
    }
    read = celeba.read(options(tmp_path, size=8, about={**ABOUT, "files": digests}))
    assert read.read["archive_sha256"] == digests[celeba.IMAGES[1]]["sha256"]
    assert read.read["partition_sha256"] == digests[celeba.PARTITION]["sha256"]
    other = {**digests, name: {"sha256": "0" * 64}}
    with pytest.raises(UserError, match=f"{name} has the SHA-256"):
        celeba.read(options(tmp_path, size=8, about={**ABOUT, "files": other}))


def test_celeba_tells_what_is_wrong(tmp_path):
    made.celeba(tmp_path, "02")
    (tmp_path / "img_align_celeba/000002.jpg").unlink()
    with pytest.raises(UserError, match=r"000002\.jpg of list_eval_partition\.txt cannot be read"):
        celeba.read(options(tmp_path, size=8))
    (tmp_path / "list_eval_partition.txt").write_text("../../etc/passwd 0\n")
    with pytest.raises(UserError, match="line 1 is not like"):
        celeba.read(options(tmp_path, size=8))


@pytest.mark.parametrize("unpacked", [False, True])
def test_artbench_reads_archive_and_folder_alike(tmp_path, unpacked):
    styles = ["ukiyo_e", "post_impressionism", "realism"]
    archive = made.artbench(tmp_path / artbench.NAMES[1], styles, 3, 2, (64, 64))
    if unpacked:
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path)
        archive.unlink()
    read = artbench.read(options(tmp_path, classes=[4, 9], size=32))
    assert read.images.shape == (10, 32, 32, 3)
    assert read.labels.tolist() == [4, 4, 4, 9, 9, 9, 4, 4, 9, 9]
    assert read.parts.tolist() == [0] * 6 + [1] * 4
    assert read.classes[4] == "post impressionism"
    with Image.open(io.BytesIO(made.jpeg(1, (64, 64)))) as first:  # ukiyo_e's painter_001
        slow = np.asarray(first.resize((32, 32), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(read.images[4], slow)


def test_artbench_leaves_hidden_files_alone(tmp_path):
    folder = tmp_path / artbench.NAMES[0] / "train/realism"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(made.jpeg(0, (16, 16)))
    (folder / "._a.jpg").write_bytes(b"no picture")
    assert len(artbench.read(options(tmp_path, size=8)).images) == 1


EVIL = [
    ("../evil", tarfile.REGTYPE),
    ("/tmp/evil", tarfile.REGTYPE),
    ("a/../../evil", tarfile.REGTYPE),
    ("train/realism/a.jpg", tarfile.SYMTYPE),
    ("train/realism/a.jpg", tarfile.LNKTYPE),
    ("train/realism/a.jpg", tarfile.CHRTYPE),
    ("train/realism/a.jpg", tarfile.FIFOTYPE),
]


@pytest.mark.parametrize(("name", "kind"), EVIL)
@pytest.mark.parametrize("reader", [artbench, cifar10])
def test_archives_that_lead_out_of_their_folder_are_refused(tmp_path, reader, name, kind):
    file = artbench.NAMES[1] if reader is artbench else cifar10.ARCHIVE
    with tarfile.open(tmp_path / file, "w" if reader is artbench else "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(UserError, match="a path that leads out of it|a link or a device"):
        reader.read(options(tmp_path, size=8))
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_artbench_reads_any_folder_of_its_layout(tmp_path):
    folder = tmp_path / "paintings"
    for place in ("train/realism/a.jpg", "test/realism/b.jpg"):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_bytes(made.jpeg(0, (8, 8)))
    read = artbench.read(options(folder, size=8))
    assert read.parts.tolist() == [sources.TRAIN, sources.HELD_OUT]


def test_fashion_comes_from_debian_or_the_net(tmp_path, monkeypatch):
    """A path is the only place; else Debian's folder is looked at, then the files are fetched."""
    made.fashion(tmp_path / "debian")
    asked = []

    def fetch(url, sha256, target):
        asked.append((url, sha256))
        if unreachable:
            raise UserError("no network")
        shutil.copy(tmp_path / "debian" / target.name, target)
        return target

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fashion.download, "fetch", fetch)
    monkeypatch.setattr(fashion, "DEBIAN", str(tmp_path / "debian"))
    file = {"url": "https://x.invalid/f", "sha256": "0" * 64}
    names = [path.name for path in (tmp_path / "debian").iterdir()]
    wanted = options("", about={**ABOUT, "files": dict.fromkeys(names, file)}, dataset="fashion")
    here = fashion.read(wanted).images
    assert not asked
    with pytest.raises(UserError, match="Toy is not here"):
        fashion.read({**wanted, "path": str(tmp_path / "none")})
    assert not asked
    monkeypatch.setattr(fashion, "DEBIAN", str(tmp_path / "none"))
    unreachable = True
    with pytest.raises(UserError) as told:
        fashion.read(wanted)
    sentence = str(told.value)
    assert len(sentence.splitlines()) == 1
    for part in ("1 MB", "CC0", "data/sources/fashion", "no network"):
        assert part in sentence
    unreachable = False
    np.testing.assert_array_equal(fashion.read(wanted).images, here)
    assert asked[1:] == [(file["url"], file["sha256"])] * 4


@pytest.mark.parametrize("reader", [artbench, celeba, cifar10])
def test_absent_data_is_told_in_one_sentence(tmp_path, reader):
    with pytest.raises(UserError) as told:
        reader.read(options(tmp_path / "none", size=8))
    sentence = str(told.value)
    assert len(sentence.splitlines()) == 1
    for part in ("toy.tar from x", "1 MB", "CC0", str(tmp_path / "none"), "data.path"):
        assert part in sentence


def test_spread_is_even_and_keeps_everything_without_a_limit():
    assert sources.spread(5, None).tolist() == [0, 1, 2, 3, 4]
    assert sources.spread(10, 4).tolist() == [0, 2, 5, 7]
    assert sources.spread(3, 9).tolist() == [0, 1, 2]
