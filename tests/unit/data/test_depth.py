"""Pictures of more than 8 bits are scaled by their type, alike in a folder, or refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dasbench.commands import attribute, image_files
from dasbench.data import decode, folder
from dasbench.errors import UserError

USUAL = {
    **{"labels": None, "size": 4, "resize": "crop", "background": [255, 255, 255], "channels": 1},
    **{"skip_bad": False, "classes": "all", "limit": None, "range": None, "held_out": None},
}


def full(value, dtype=np.uint16, size=(4, 4)):
    return Image.fromarray(np.full(size, value, dtype))


def saved(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def grey(source, **options):
    return int(decode.read(source, None, channels=1, **options)[0, 0, 0])


@pytest.fixture
def as_folder(tmp_path):
    """Read pictures as a folder: name -> picture; grey values in the order of the names."""

    def read(pictures, **options):
        for name, picture in pictures.items():
            picture.save(tmp_path / name)
        return folder.read({**USUAL, "path": str(tmp_path), **options}).images[:, 0, 0, 0].tolist()

    return read


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize(
    ("value", "shade"), [(0, 0), (255, 1), (256, 1), (32768, 128), (65535, 255)]
)
def test_sixteen_bits_span_their_type_whatever_the_brightest_value(form, value, shade):
    assert grey(saved(full(value), form)) == shade


def test_a_little_brighter_is_a_little_brighter(as_folder):
    """Not 255 times: 255 of 65535 was read as 255 of 255."""
    shades = as_folder({"a.png": full(255), "b.png": full(256), "c.png": full(65535)})
    assert shades == [1, 1, 255]


def test_big_endian_and_compressed_tiffs_are_alike():
    values = np.array([[0, 32768], [257, 65535]], np.uint16)
    packed = saved(Image.fromarray(values), "TIFF", compression="tiff_lzw")
    swapped = Image.frombytes("I;16B", (2, 2), values.astype(">u2").tobytes())
    for source in (packed, saved(swapped, "TIFF")):
        assert decode.read(source, None, channels=1)[..., 0].tolist() == [[0, 128], [1, 255]]


def packed_tiff(values, bits, photometric=1, form=1):
    """A grey TIFF with a strip of numbers of ``bits`` bits, written byte by byte."""
    height, width = values.shape
    digits = "".join(f"{int(v):0{bits}b}" for v in values.ravel())
    strip = int(digits, 2).to_bytes(len(digits) // 8, "big")
    if bits == 16:
        strip = values.astype("<u2").tobytes()
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, len(strip)), (339, 3, form)]
    offset = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 1, offset if tag == 273 else value)
        for tag, kind, value in tags
    )
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    return head + entries + struct.pack("<I", 0) + strip


def test_twelve_bits_span_their_type():
    values = np.array([[0, 2048, 4095, 16]] * 2)
    read = decode.read(packed_tiff(values, 12), None, channels=1)[..., 0]
    assert read.tolist() == [[0, 128, 255, 1]] * 2


def test_white_is_zero_is_inverted_in_sixteen_bits_too():
    values = np.array([[0, 65535]])
    read = decode.read(packed_tiff(values, 16, photometric=0), None, channels=1)
    assert read[..., 0].tolist() == [[255, 0]]


def test_twelve_bits_in_sixteen_are_no_night(as_folder):
    """The file does not say it, so the folder is refused until the range is known."""
    pictures = {"a.tif": full(4095), "b.tif": full(2048)}
    with pytest.raises(UserError, match=r"2048|4095") as told:
        as_folder(pictures)
    assert "nearly black" in str(told.value)
    assert "[0, 4095]" in str(told.value)
    assert as_folder(pictures, range=[0, 4095]) == [255, 128]
    assert as_folder(pictures, range=[0, 65535]) == [16, 8]


def test_one_dark_picture_among_brighter_ones_is_dark(as_folder):
    assert as_folder({"a.tif": full(4095), "b.tif": full(60000)}) == [16, 233]


@pytest.mark.parametrize(
    ("picture", "what"),
    [
        (full(0.5, np.float32), "floats from 0.5 to 0.5"),
        (full(300, np.int32), "signed or 32-bit numbers from 300 to 300"),
    ],
)
def test_floats_and_signed_numbers_need_a_range(as_folder, tmp_path, picture, what):
    with pytest.raises(UserError, match=what) as told:
        as_folder({"a.tif": picture})
    assert "data.range" in str(told.value)
    with pytest.raises(UserError, match=what):
        attribute.read_images([tmp_path / "a.tif"], (1, 4, 4))


def test_a_range_says_what_they_mean(as_folder, capsys):
    floats = {"a.tif": full(0.5, np.float32), "b.tif": full(2.0, np.float32)}
    assert as_folder(floats, range=[0, 1]) == [128, 255]
    assert "numbers outside of data.range" in capsys.readouterr().out
    assert as_folder(
        {"a.tif": full(-500, np.int32), "b.tif": full(500, np.int32)}, range=[-1000, 1000]
    ) == [64, 191]


def test_signed_sixteen_bits_need_a_range():
    values = np.array([[65535, 256]])  # -1 and 256
    source = packed_tiff(values, 16, form=2)
    with pytest.raises(decode.UnreadableError, match="signed or 32-bit numbers from -1 to 256"):
        decode.read(source, None)
    assert decode.read(source, None, channels=1, span=(-1, 256))[..., 0].tolist() == [[0, 255]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_refused_with_a_range_too(wrong):
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = wrong
    with pytest.raises(decode.UnreadableError, match="no finite numbers"):
        decode.read(saved(Image.fromarray(values), "TIFF"), None, span=(0, 1))


def test_a_range_without_use_is_refused(as_folder):
    with pytest.raises(UserError, match="all pictures have 8 bits"):
        as_folder({"a.png": full(9, np.uint8)}, range=[0, 127])


def test_eight_bits_beside_sixteen_keep_their_own_type(as_folder):
    assert as_folder({"a.png": full(128, np.uint8), "b.png": full(65535)}) == [128, 255]


def png16(pixels, kind):
    """A PNG of 16 bits a channel, [H, W, C]; kind: 2 for RGB, 4 grey with alpha, 6 RGBA."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_sixteen_bits_in_colour(tmp_path):
    pixels = np.array([[[65535, 32896, 0]] * 4] * 4)
    assert decode.read(png16(pixels, 2), None)[0, 0].tolist() == [255, 128, 0]
    clear = np.array([[[65535, 0], [65535, 65535]]])
    read = decode.read(png16(clear, 4), None, background=(10, 20, 30))
    assert read[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    (tmp_path / "a.png").write_bytes(png16(pixels // 16, 2))  # 12 bits in 16
    with pytest.raises(UserError, match="nearly black"):
        folder.read({**USUAL, "path": str(tmp_path), "channels": 3})
    with pytest.raises(UserError, match="16 bits in colour"):
        folder.read({**USUAL, "path": str(tmp_path), "channels": 3, "range": [0, 4095]})
    dark = folder.read({**USUAL, "path": str(tmp_path), "channels": 3, "range": [0, 65535]})
    assert dark.images[0, 0, 0].tolist() == [15, 8, 0]


def test_a_transparent_value_of_sixteen_bits_is_background():
    picture = full(65535)
    picture.putpixel((1, 1), 500)
    source = saved(picture, "PNG", transparency=500)
    read = decode.read(source, None, background=(1, 2, 3))
    assert read[1, 1].tolist() == [1, 2, 3]
    assert read[0, 0].tolist() == [255] * 3


def test_an_orientation_holds_for_sixteen_bits():
    values = np.array([[0, 65535, 0], [0, 0, 0]], np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    read = decode.read(saved(Image.fromarray(values), "PNG", exif=exif.tobytes()), None, channels=1)
    assert read[..., 0].tolist() == np.rot90([[0, 255, 0], [0, 0, 0]], -1).tolist()


def test_a_query_is_scaled_as_its_training_images(tmp_path, capsys):
    full(2048).save(tmp_path / "a.tif")
    data = {"resize": "crop", "background": [255] * 3, "range": [0, 4095]}
    assert image_files.read_images([tmp_path / "a.tif"], (1, 4, 4), data)[0, 0, 0, 0] == 128
    with pytest.raises(UserError, match="nearly black"):
        image_files.read_images([tmp_path / "a.tif"], (1, 4, 4))
    full(128, np.uint8).save(tmp_path / "b.png")  # a sample of the model
    assert image_files.read_images([tmp_path / "b.png"], (1, 4, 4), data)[0, 0, 0, 0] == 128
