"""Pictures of any size and mode, and folders of them."""

import io

import numpy as np
import pytest
from PIL import Image

import sources as made
from dasbench.data import decode, folder
from dasbench.errors import UserError

ABOUT = {"name": "a folder", "licence": "not stated", "size": "not stated", "fetch": ""}


def data(picture, form="PNG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def plain(size, colour=(200, 100, 50), mode="RGB"):
    return Image.new("RGB", size, colour).convert(mode, palette=Image.Palette.ADAPTIVE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_colour(mode, channels):
    form = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    read = decode.read(data(plain((9, 7), mode=mode), form), 5, channels=channels)
    assert read.shape == (5, 5, channels)
    assert read.dtype == np.uint8
    assert np.ptp(read[..., 0]) <= 1 or mode == "1"  # dithered
    if mode in ("RGB", "RGBA", "P") and channels == 3:
        assert abs(read[2, 2].astype(int) - (200, 100, 50)).max() <= 2


def test_sixteen_bits_are_scaled():
    deep = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    assert decode.read(data(deep), 4, channels=1).tolist() == [[[128]] * 4] * 4
    tiff = data(Image.fromarray(np.full((4, 4), 65535, np.uint16)), "TIFF")
    assert (decode.read(tiff, 4) == 255).all()


def test_what_is_transparent_is_laid_on_the_background():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert decode.read(data(clear), 4, background=(10, 20, 30))[0, 0].tolist() == [10, 20, 30]
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert abs(int(decode.read(data(half), 4)[0, 0, 0]) - 127) <= 1
    palette = Image.new("P", (4, 4), 3)
    palette.putpalette(list(range(256)) * 3)
    read = decode.read(data(palette, transparency=3), 4, background=(1, 2, 3))
    assert read[0, 0].tolist() == [1, 2, 3]


def stripes():
    """Twelve wide, four high: red, green, blue squares."""
    picture = Image.new("RGB", (12, 4))
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        picture.paste(colour, (4 * i, 0, 4 * i + 4, 4))
    return picture


def test_crop_keeps_the_centre():
    assert decode.read(data(stripes()), 4, "crop")[1, 1].tolist() == [0, 255, 0]


def test_pad_keeps_everything():
    read = decode.read(data(stripes()), 12, "pad", (9, 9, 9))
    assert read[0, 0].tolist() == [9, 9, 9]
    np.testing.assert_array_equal(read[4:8], np.asarray(stripes()))
    grey = decode.read(data(stripes()), 12, "pad", (9, 9, 9), channels=1)
    assert grey[0, 0, 0] == 9


def test_stretch_ignores_the_shape():
    read = decode.read(data(stripes()), 6, "stretch")
    assert read[3, 0, 0] > 200
    assert read[3, 5, 2] > 200


def test_the_camera_s_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture lies on its side
    read = decode.read(data(stripes(), exif=exif.tobytes()), None)
    assert read.shape == (12, 4, 3)
    assert read[0, 0].tolist() == [255, 0, 0]


def test_an_animation_gives_its_first_frame():
    frames = [plain((4, 4), (255, 0, 0)), plain((4, 4), (0, 0, 255))]
    moving = data(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode.read(moving, 4)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("broken", [b"", b"text", b"\x89PNG\r\n\x1a\n", made.jpeg(0)[:200]])
def test_what_is_no_picture_is_told(broken):
    with pytest.raises(decode.UnreadableError):
        decode.read(broken, 4)


def test_a_picture_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(decode.UnreadableError, match="exceeds limit"):
        decode.read(data(plain((20, 20))), 4)


def test_other_programs_are_not_started():
    """PostScript would be handed to an interpreter."""
    with pytest.raises(decode.UnreadableError):
        decode.read(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 4)


@pytest.fixture
def mine(tmp_path):
    """Two labels, odd names, files that are no pictures and files to be ignored."""
    for name, colour in (("cats/b.png", 0), ("cats/deep/a.jpg", 1), ("dogs/ü c.PNG", 2)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        form = "JPEG" if name.endswith("jpg") else "PNG"
        (tmp_path / name).write_bytes(data(plain((5 + colour, 9), (colour * 90, 0, 0)), form))
    (tmp_path / "top.png").write_bytes(data(plain((3, 3))))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture")
    return tmp_path


def options(path, **changes):
    usual = {
        "dataset": "folder",
        "path": str(path),
        "labels": None,
        "size": 4,
        "resize": "crop",
        "background": [255, 255, 255],
        "channels": 3,
        "skip_bad": False,
        "classes": "all",
        "limit": None,
        "about": ABOUT,
    }
    return {**usual, **changes}


def test_subfolders_are_labels(mine):
    read = folder.read(options(mine))
    assert read.images.shape == (4, 4, 4, 3)
    assert [read.classes[label] for label in read.labels] == ["cats", "cats", "dogs", ""]
    assert read.parts.tolist() == [0] * 4
    assert [int(image[0, 0, 0]) for image in read.images] == [0, 90, 180, 200]
    dogs = next(number for number, name in read.classes.items() if name == "dogs")
    assert len(folder.read(options(mine, classes=[dogs])).images) == 1


def test_a_csv_names_labels_and_files(mine):
    table = mine / "labels.csv"
    table.write_text("file,label\ncats/b.png,second\ndogs/ü c.PNG,first\n", encoding="utf-8")
    read = folder.read(options(mine, labels=str(table)))
    assert [read.classes[label] for label in read.labels] == ["second", "first"]
    table.write_text("file,label\n../outside.png,x\n", encoding="utf-8")
    with pytest.raises(UserError, match="which is not in"):
        folder.read(options(mine, labels=str(table)))
    table.write_text("name;class\n")
    with pytest.raises(UserError, match="first line name, class, expected one column file"):
        folder.read(options(mine, labels=str(table)))


def test_files_that_cannot_be_read_are_listed_and_skipped_on_request_only(mine, capsys):
    (mine / "cats/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (mine / "cats/\x1b[2J.png").write_bytes(b"")
    with pytest.raises(UserError) as told:
        folder.read(options(mine))
    assert "2 files cannot be read" in str(told.value)
    assert "cats/broken.png" in str(told.value)
    assert str(told.value).isprintable()
    read = folder.read(options(mine, skip_bad=True))
    assert len(read.images) == 4
    assert len(read.read["left_out"]) == 2
    assert "left out: " in capsys.readouterr().out


def test_an_absent_or_empty_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="is not here"):
        folder.read(options(tmp_path / "none"))
    about = {**ABOUT, "fetch": "a package"}
    with pytest.raises(UserError, match="fetch a package"):
        folder.read(options(tmp_path / "none", about=about))
    with pytest.raises(UserError, match="holds no picture"):
        folder.read(options(tmp_path))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_a_jpeg_without_an_end_is_cut_short(options):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    # marks of the end inside a segment are no end
    whole = data(noise, "JPEG", comment=b"\xff\xd9\xff\xda", **options)
    assert decode.read(whole + b"\0" * 9, None).shape == (64, 64, 3)
    for part in (whole[: len(whole) // 2], whole[:-2]):
        for filled in (part, part + b"\0" * 999):
            with pytest.raises(decode.UnreadableError, match="cut short"):
                decode.read(filled, None)
