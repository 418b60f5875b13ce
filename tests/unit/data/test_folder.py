"""No picture and no label of a folder vanishes: it is used, or counted and named, or refused."""

import os

import pytest
from PIL import Image

from dasbench.data import decode, folder
from dasbench.errors import UserError
from picture_folders import names, picture, read

# Pillow's name of the format -> the endings that people use
ENDINGS = {
    "JPEG": ["jpg", "JPG", "jpeg", "jpe", "jfif", "JFIF", "jif"],
    "PNG": ["png", "Png", "apng"],
    "BMP": ["bmp", "dib"],
    "GIF": ["gif"],
    "WEBP": ["webp"],
    "TIFF": ["tif", "TIFF"],
    "PPM": ["ppm", "pgm", "pnm"],
    "AVIF": ["avif"],
    "JPEG2000": ["jp2", "j2k", "jpx"],
    "TGA": ["tga", "TGA", "icb"],
    "PCX": ["pcx"],
    "SGI": ["sgi", "rgb"],
    "QOI": ["qoi"],
}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "pictures"


@pytest.mark.parametrize(("form", "ending"), [(f, e) for f, all_ in ENDINGS.items() for e in all_])
def test_pictures_of_all_endings_are_read(home, form, ending):
    picture(home / f"a.{ending}", 100, form)
    assert abs(int(read(home).images[0, 0, 0, 0]) - 100) < 8


@pytest.mark.parametrize("name", ["0001", "a.jpg_large", "a.dat", "a.b.c"])
def test_pictures_with_odd_endings_are_known_by_their_content(home, name):
    picture(home / name, 100)
    assert len(read(home).images) == 1


@pytest.mark.parametrize("ending", ["heic", "HEIF", "svg", "cr2", "dng", "psd", "jxl", "exr"])
def test_pictures_that_cannot_be_read_here_are_told(home, ending):
    picture(home / "a.png")
    picture(home / f"b.{ending}", form="TIFF")  # raw files are TIFFs with a preview
    with pytest.raises(UserError, match=rf"1 files cannot be read: b\.{ending} .*convert it"):
        read(home)
    assert read(home, skip_bad=True).read["left_out"] == [f"b.{ending}"]


def test_what_is_no_picture_is_counted_and_named(home, capsys):
    picture(home / "cats/a.png")
    for name in ("notes.txt", "cats/archive.zip", "cats/data.npy", "Thumbs.db", "film.mp4"):
        (home / name).write_bytes(b"no picture")
    (home / "cats/._a.png").write_bytes(b"no picture")
    (home / "dogs").mkdir()
    (home / "birds/eggs").mkdir(parents=True)
    assert names(read(home)) == ["cats"]
    told = capsys.readouterr().out
    assert "5 files that are no pictures (Thumbs.db, cats/archive.zip, cats/data.npy and 2" in told
    assert "1 hidden files or folders (cats/._a.png)" in told
    assert "2 subfolders without pictures (birds, dogs)" in told
    assert len(read(home).read["notes"]) == 3


def test_links_to_folders_and_files_are_followed(home, tmp_path):
    picture(tmp_path / "elsewhere/a.png", 10)
    picture(tmp_path / "b.png", 20)
    (home / "dogs").mkdir(parents=True)
    (home / "cats").symlink_to(tmp_path / "elsewhere")
    (home / "dogs/b.png").symlink_to(tmp_path / "b.png")
    source = read(home)
    assert names(source) == ["cats", "dogs"]
    assert source.images[:, 0, 0, 0].tolist() == [10, 20]
    through = tmp_path / "through"
    through.symlink_to(home)
    assert names(read(through)) == ["cats", "dogs"]


def test_links_that_turn_back_end(home, capsys):
    picture(home / "cats/a.png")
    (home / "cats/loop").symlink_to(home)
    (home / "self").symlink_to(home / "self")
    (home / "again").symlink_to(".")
    with pytest.raises(UserError, match=r"self \(a broken link\)"):
        read(home)
    assert len(read(home, skip_bad=True).images) == 1
    assert "2 links to a folder that holds them (again, cats/loop)" in capsys.readouterr().out


def test_broken_links_are_bad_files(home):
    picture(home / "cats/a.png")
    (home / "cats/b.png").symlink_to("nowhere.png")
    (home / "dogs").symlink_to("/nowhere")
    with pytest.raises(UserError, match=r"2 files .*dogs \(a broken link\).*b\.png \(a broken"):
        read(home)
    assert sorted(read(home, skip_bad=True).read["left_out"]) == ["cats/b.png", "dogs"]


def test_a_pipe_does_not_wait_for_ever(home):
    picture(home / "a.png")
    os.mkfifo(home / "b.png")
    os.mkfifo(home / "c")
    (home / "d.png").mkdir()
    with pytest.raises(UserError, match=r"1 files cannot be read: b\.png \(no plain file\)"):
        read(home)


def test_all_bad_pictures_are_named_at_once(home):
    picture(home / "a.png")
    for name in "bcd":
        (home / f"{name}.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"3 files .*b\.png .*c\.png .*d\.png"):
        read(home)


@pytest.mark.parametrize(
    "name",
    ["a b.png", "a'b\".png", "a\nb.png", "ä.png", "猫.png", "a,b;c.png", "#?&%.png", "{x}.png"],
)
def test_names_of_all_kinds(home, tmp_path, name):
    picture(home / name, 50)
    table = tmp_path / "labels.csv"
    quoted = name.replace('"', '""')
    table.write_text(f'file,label\n"{quoted}",x\n', encoding="utf-8")
    for source in (read(home), read(home, labels=str(table))):
        assert source.images[0, 0, 0, 0] == 50


def test_a_name_that_is_no_utf_8_is_read_and_printable(home, capsys):
    picture(home / os.fsdecode(b"a\xff.png"))
    picture(home / "b.png")
    read(home)
    assert "identical" in capsys.readouterr().out.encode("utf-8").decode()


def test_archives_and_files_are_no_folders(tmp_path):
    archive = tmp_path / "pictures.zip"
    archive.write_bytes(b"PK")
    with pytest.raises(UserError, match="is no folder but a file; unpack it first"):
        read(archive)
    with pytest.raises(UserError, match="name the folder it lies in"):
        read(picture(tmp_path / "a.png"))


def test_a_folder_that_may_not_be_opened_is_told(home, monkeypatch):
    picture(home / "cats/a.png")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("cats"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(folder.os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cats cannot be opened \(Permission denied\)"):
        read(home)


def test_a_folder_without_write_rights_is_read(home):
    picture(home / "a.png")
    home.chmod(0o555)
    assert len(read(home).images) == 1


def test_equal_names_in_two_folders_are_two_pictures(home):
    picture(home / "cats/a.png", 1)
    picture(home / "dogs/a.png", 2)
    assert read(home).images[:, 0, 0, 0].tolist() == [1, 2]


def test_identical_pictures_are_counted_and_named(home, capsys):
    for name, shade in (("a.png", 1), ("b.png", 2), ("cats/c.bmp", 1), ("d.png", 1), ("e.png", 2)):
        picture(home / name, shade, "BMP" if name.endswith("bmp") else "PNG")
    source = read(home)
    assert len(source.images) == 5
    assert source.read["identical"] == [["a.png", "cats/c.bmp", "d.png"], ["b.png", "e.png"]]
    told = capsys.readouterr().out
    assert (
        "5 pictures are identical to another one, in 2 groups (a.png = cats/c.bmp = d.png;" in told
    )


def test_animations_and_cropped_pictures_are_counted_and_named(home, capsys):
    frames = [Image.new("RGB", (5, 5), (shade, 0, 0)) for shade in (10, 90)]
    home.mkdir()
    for name in ("a.gif", "b.webp", "c.tif"):
        more = {"lossless": True} if name == "b.webp" else {}
        frames[0].save(home / name, save_all=True, append_images=frames[1:], **more)
    picture(home / "d.png", size=(9, 5))
    images = read(home).images
    assert [abs(int(i[0, 0, 0]) - 10) < 5 for i in images[:3]] == [True] * 3
    told = capsys.readouterr().out
    assert "3 of 4 pictures have several frames or pages (2 at most)" in told
    assert "1 of 4 pictures is not square and cropped to the centre (d.png)" in told
    read(home, resize="pad")
    assert "cropped" not in capsys.readouterr().out


# labels


def test_pictures_beside_subfolders_are_told(home, capsys):
    picture(home / "cats/a.png")
    picture(home / "b.png")
    assert names(read(home)) == ["", "cats"]
    assert "1 pictures (b.png) beside the subfolders" in capsys.readouterr().out


def test_held_out_images_come_from_their_folder(home, tmp_path):
    picture(home / "cats/a.png", 1)
    picture(home / "dogs/b.png", 2)
    picture(tmp_path / "new/dogs/a.png", 3)
    source = read(home, held_out=str(tmp_path / "new"))
    assert source.parts.tolist() == [0, 0, 1]
    assert names(source) == ["cats", "dogs", "dogs"]
    assert source.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    with pytest.raises(UserError, match=r"data\.held_out: .* is missing"):
        read(home, held_out=str(tmp_path / "gone"))


def test_endings_and_formats_agree():
    """A new ending must be one that is read, or one that is told."""
    assert not decode.SUFFIXES & decode.FOREIGN


def test_a_held_out_folder_may_have_the_name_of_a_class(home, tmp_path):
    for i, place in enumerate((home / "cats", home / "dogs", tmp_path / "new/cats")):
        picture(place / "a.png", i)
    source = read(home, held_out=str(tmp_path / "new/cats"))
    assert source.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert source.parts.tolist() == [0, 0, 1]


@pytest.mark.parametrize("inside", [".", "test"])
def test_a_held_out_picture_is_no_training_picture(home, inside):
    picture(home / "train/a.png", 1)
    picture(home / "test/b.png", 2)
    with pytest.raises(UserError, match=r"of the \d held-out pictures .* are training pictures"):
        read(home, held_out=str(home / inside))
    table = home / "labels.csv"
    table.write_text("file,label\ntrain/a.png,x\n")
    if inside == "test":
        assert len(read(home, held_out=str(home / inside), labels=str(table)).images) == 2  # noqa: PLR2004


@pytest.mark.parametrize("inside", ["", "ants/"])
def test_held_out_pictures_change_no_number_of_a_class(home, tmp_path, capsys, inside):
    picture(home / "cats/a.png", 1)
    picture(home / "dogs/b.png", 2)
    picture(tmp_path / f"new/{inside}a.png", 3)
    source = read(home, held_out=str(tmp_path / "new"))
    assert source.labels.tolist() == [0, 1, 2]
    assert "have a label that no training picture has" in capsys.readouterr().out


def test_a_bad_picture_is_named_though_the_others_need_no_range(home):
    picture(home / "a.png")
    (home / "b.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 files cannot be read: b\.png"):
        read(home, range=[0, 4095])
