"""Convert a picture of any size and mode to an array of one size.

All data sets follow the same steps:

1. Apply the orientation that the camera recorded.
2. Scale more than 8 bits to 8 bits, by the type of the file: 16 bits span 0 to 65535, 12 bits 0 to
   4095, whatever the brightest value of a picture is. Signed numbers and floats have no span of
   their own: they need one (``span``).
3. Lay transparent pixels on the background colour.
4. Convert to grey or RGB.
5. Scale with Pillow's Lanczos filter. ``crop`` scales the shorter side to the size and cuts the
   centre; ``pad`` scales the longer side and fills with background; ``stretch`` scales both sides.
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

# endings of the formats below; a file with another ending is a picture if its content says so
SUFFIXES = frozenset(
    (
        ".png .apng .jpg .jpeg .jpe .jfif .jif .mpo .bmp .dib .gif .webp .tif .tiff .ppm .pgm .pbm "
        ".pnm .pfm .avif .avifs .jp2 .j2k .jpc .jpf .jpx .j2c .tga .icb .vda .vst .pcx .sgi .rgb "
        ".rgba .bw .qoi"
    ).split()
)
# pictures that are not read here: their files are told, never passed over
FOREIGN = frozenset(
    (
        ".heic .heif .hif .svg .svgz .jxl .psd .psb .xcf .exr .hdr .eps .ai .dng .cr2 .cr3 .nef "
        ".arw .orf .rw2 .raf .pef .srw .fits .fit .dcm .nii .ico .icns .dds .wmf .emf .jxr "
        ".xbm .xpm"
    ).split()
)
_KNOWN_BY_CONTENT = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF")
_FORMATS = (*_KNOWN_BY_CONTENT, "DIB", "PPM", "PCX", "SGI", "QOI")
_TARGA = frozenset({".tga", ".icb", ".vda", ".vst"})  # a format without a mark in its content
_TOP = 65535  # of 16 bits
_TOP_12 = 4095
DARK = 16383  # 14 bits: 16-bit pictures that never exceed it may hold fewer bits
# a mark inside a JPEG, but neither a stuffed byte nor one that restarts the decoder
_JPEG_MARK, _JPEG_END = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL), 0xD9
_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262  # a TIFF's tag


class UnreadableError(Exception):
    """A file that is no picture, or a damaged one; the message says which."""


@dataclass(frozen=True)
class Seen:
    """What a caller may have to tell of a picture.

    Attributes:
        frames: Frames or pages; the first one is read.
        cut: Whether ``crop`` cuts a part off.
        deep: Whether its numbers have more than 8 bits.
        peak: Largest number of a picture of 16 bits; None for other pictures, and with a ``span``.
        clipped: Whether numbers lie outside of ``span``.
    """

    frames: int = 1
    cut: bool = False
    deep: bool = False
    peak: int | None = None
    clipped: bool = False


def read(
    source: str | Path | bytes | IO[bytes],
    size: int | None,
    resize: str = "crop",
    background: Sequence[int] = (255, 255, 255),
    channels: int = 3,
    cut: int | None = None,
    span: Sequence[float] | None = None,
) -> np.ndarray:
    """Read a picture.

    Args:
        source: A file, or its bytes.
        size: Side of the result in pixels; None keeps the picture's own size.
        resize: crop, pad or stretch.
        background: Red, green, blue behind transparent pixels and around padded pictures.
        channels: 1 for grey, 3 for RGB.
        cut: Side of a square that is cut from the centre before anything is scaled.
        span: The numbers of black and white in pictures of more than 8 bits; None takes those of
            the file's type.

    Returns:
        [H, W, channels] uint8; the first frame of an animation.

    Raises:
        UnreadableError: If the source is no picture, is damaged, exceeds Pillow's limit of size, or
            has signed numbers or floats and there is no ``span``.
    """
    return look(source, size, resize, background, channels, cut, span)[0]


def look(
    source: str | Path | bytes | IO[bytes],
    size: int | None,
    resize: str = "crop",
    background: Sequence[int] = (255, 255, 255),
    channels: int = 3,
    cut: int | None = None,
    span: Sequence[float] | None = None,
) -> tuple[np.ndarray, Seen]:
    """As ``read``, with what is to be told of the picture."""
    if isinstance(source, str | Path):
        _plain(source)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(stream, formats=_formats(source)) as opened:
                check_end(opened)
                picture, seen = _flatten(opened, background, span)
                picture = picture.convert("L" if channels == 1 else "RGB")
        except UnreadableError:
            raise
        # Pillow's decoders raise anything from OSError to struct.error on damaged files
        except Exception as error:
            raise UnreadableError(
                str(error).splitlines()[0] if str(error) else repr(error)
            ) from error
    if cut is not None:
        picture = _centre(picture, cut, cut)
    if size is not None and picture.size != (size, size):
        crops = resize == "crop" and picture.width != picture.height
        seen = Seen(seen.frames, crops, seen.deep, seen.peak, seen.clipped)
        picture = _fit(picture, size, resize, background)
    return np.asarray(picture, np.uint8).reshape(picture.height, picture.width, channels), seen


def converted(picture: Image.Image, channels: int = 3) -> tuple[np.ndarray, int | None]:
    """A picture of Pillow as an array, as ``read`` makes it, at its own size, on white.

    Args:
        picture: Of any mode.
        channels: 1 for grey, 3 for RGB.

    Returns:
        [H, W, channels] uint8, and ``Seen.peak``.

    Raises:
        UnreadableError: See ``read``.
    """
    try:
        flat, seen = _flatten(picture, (255, 255, 255), None)
        flat = flat.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError) as error:
        raise UnreadableError(str(error)) from error
    return np.asarray(flat, np.uint8).reshape(flat.height, flat.width, channels), seen.peak


def is_picture(path: Path) -> bool:
    """Whether the content of a file is a picture, whatever its ending."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_KNOWN_BY_CONTENT):
                return True
    except Exception:  # Pillow raises many classes
        return False


def check_end(opened: Image.Image) -> None:
    """Refuse a JPEG that stops before its end.

    Pillow fills what is missing with grey and reports nothing, if the rest of the file is zeros, as
    a download leaves it, or if the JPEG is progressive.

    Args:
        opened: A picture whose pixels are not read yet.

    Raises:
        UnreadableError: If the mark of the end is absent.
    """
    if opened.format not in ("JPEG", "MPO"):
        return
    opened.fp.seek(0)
    content = opened.fp.read()
    opened.fp.seek(0)
    place = 2  # after the mark of the start
    while mark := _JPEG_MARK.search(content, place):
        kind = mark.group(1)[0]
        if kind == _JPEG_END:
            return
        # the length of a segment counts its own two bytes
        alone = kind == 1
        place = mark.end() + (0 if alone else int.from_bytes(content[mark.end() : mark.end() + 2]))
    raise UnreadableError("a JPEG that is cut short: it has no end")


def _formats(source: object) -> tuple[str, ...]:
    name = str(source) if isinstance(source, str | Path) else ""
    return (*_FORMATS, "TGA") if Path(name).suffix.lower() in _TARGA else _FORMATS


def _plain(path: str | Path) -> None:
    """Refuse what would block or is no file; opening a pipe would wait forever."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        link = "a broken link" if os.path.islink(path) else error.strerror or str(error)
        raise UnreadableError(link) from error
    if not stat.S_ISREG(mode):
        raise UnreadableError("a folder" if stat.S_ISDIR(mode) else "no plain file")


def _flatten(
    opened: Image.Image, background: Sequence[int], span: Sequence[float] | None
) -> tuple[Image.Image, Seen]:
    """Convert to 8 bits a channel, upright, with transparent pixels on the background."""
    raw = _raw_mode(opened)
    # a JPEG's further pictures are previews or depths
    frames = 1 if opened.format in ("JPEG", "MPO") else getattr(opened, "n_frames", 1)
    opened.load()
    picture = ImageOps.exif_transpose(opened)
    seen = Seen(frames)
    if picture.mode == "F" or picture.mode.startswith("I"):
        sixteen = picture.mode.startswith("I;16") or opened.format in ("PPM", "PNG")
        top = (_TOP_12 if raw == "I;12" else _TOP) if sixteen and picture.mode != "F" else None
        inverted = opened.format == "TIFF" and opened.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        picture, seen = _scaled(picture, top, inverted, frames, span)
    elif ";16" in raw:
        picture, seen = _upper_bits(picture, frames, span)
    if picture.mode == "La":
        picture = picture.convert("LA")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa"):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*background, 255))
        ground.alpha_composite(picture)
        return ground, seen
    return picture, seen


def _raw_mode(opened: Image.Image) -> str:
    """How the file stores its numbers, in Pillow's names such as ``I;16B``; empty if unknown."""
    if not getattr(opened, "tile", None):
        return ""
    arguments = opened.tile[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _upper_bits(
    picture: Image.Image, frames: int, span: Sequence[float] | None
) -> tuple[Image.Image, Seen]:
    """A picture of 16 bits in several channels, of which Pillow has kept the upper 8."""
    if span is not None and tuple(span) != (0, _TOP):
        raise UnreadableError(
            f"a range other than [0, {_TOP}] is for pictures of one channel, this one has 16 bits "
            "in colour; save it with 8 bits"
        )
    clear = picture.info.get("transparency")
    if isinstance(clear, tuple):
        picture.info["transparency"] = tuple(value >> 8 for value in clear)
    colours = picture.convert("RGB") if picture.mode == "RGBA" else picture
    high = int(np.max(colours.getextrema()))
    peak = None if span is not None else high << 8 | (255 if high else 0)
    return picture, Seen(frames, deep=True, peak=peak)


def _scaled(
    picture: Image.Image, top: int | None, inverted: bool, frames: int, span: Sequence[float] | None
) -> tuple[Image.Image, Seen]:
    """A picture of one channel and more than 8 bits, in 8 bits.

    ``top`` is the largest number of its type; None for signed numbers and floats.
    """
    values = np.asarray(picture, np.float64)
    if not np.isfinite(values).all():
        raise UnreadableError("it has pixels that are no finite numbers (NaN or infinite)")
    if span is None and top is None:
        kind = "floats" if picture.mode == "F" else "signed or 32-bit numbers"
        raise UnreadableError(
            f"its pixels are {kind} from {values.min():g} to {values.max():g}, which have no black "
            "and white of their own; say them by data.range: [BLACK, WHITE] (--range BLACK WHITE)"
        )
    low, high = (0.0, float(top)) if span is None else map(float, span)
    part = np.clip((values - low) / (high - low), 0, 1)
    grey = np.rint((1 - part if inverted else part) * 255).astype(np.uint8)
    seen = Seen(
        frames,
        deep=True,
        peak=int(values.max(initial=0)) if span is None and top == _TOP else None,
        clipped=bool((values < low).any() or (values > high).any()),
    )
    clear = picture.info.get("transparency")
    if not isinstance(clear, int):
        return Image.fromarray(grey), seen
    alpha = np.where(values == clear, 0, 255).astype(np.uint8)
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha))), seen


def _fit(picture: Image.Image, size: int, resize: str, background: Sequence[int]) -> Image.Image:
    """Scale to a square with the side ``size``."""
    if resize == "stretch":
        return picture.resize((size, size), Image.Resampling.LANCZOS)
    width, height = picture.size
    scale = size / (min if resize == "crop" else max)(width, height)
    scaled = picture.resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS
    )
    if resize == "crop":
        return _centre(scaled, size, size)
    ground = Image.new("RGB", (size, size), tuple(background)).convert(picture.mode)
    ground.paste(scaled, ((size - scaled.width) // 2, (size - scaled.height) // 2))
    return ground


def _centre(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Cut a rectangle from the centre; pixels outside the picture are black."""
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def resized(images: np.ndarray, size: int | None, resize: str = "crop") -> np.ndarray:
    """Scale pictures that are already arrays.

    Args:
        images: [n, H, W, C] uint8.
        size: Side of the results in pixels; None returns the images unchanged.
        resize: crop, pad (with black) or stretch.

    Returns:
        [n, size, size, C] uint8.
    """
    if size is None or images.shape[1:3] == (size, size):
        return images
    result = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if images.shape[3] == 1 else image)
        result[i] = np.asarray(_fit(picture, size, resize, (0, 0, 0))).reshape(result.shape[1:])
    return result
