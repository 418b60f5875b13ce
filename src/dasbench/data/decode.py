"""Convert a picture of any size and mode to an array of one size.

All data sets follow the same steps:

1. Apply the orientation that the camera recorded.
2. Scale 16 bits to 8 bits.
3. Lay transparent pixels on the background colour.
4. Convert to grey or RGB.
5. Scale with Pillow's Lanczos filter. ``crop`` scales the shorter side to the size and cuts the
   centre; ``pad`` scales the longer side and fills with background; ``stretch`` scales both sides.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


class UnreadableError(Exception):
    """A file that is no picture, or a damaged one; the message says which."""


def read(
    source: str | Path | bytes | IO[bytes],
    size: int | None,
    resize: str = "crop",
    background: Sequence[int] = (255, 255, 255),
    channels: int = 3,
    cut: int | None = None,
) -> np.ndarray:
    """Read a picture.

    Args:
        source: A file, or its bytes.
        size: Side of the result in pixels; None keeps the picture's own size.
        resize: crop, pad or stretch.
        background: Red, green, blue behind transparent pixels and around padded pictures.
        channels: 1 for grey, 3 for RGB.
        cut: Side of a square that is cut from the centre before anything is scaled.

    Returns:
        [H, W, channels] uint8; the first frame of an animation.

    Raises:
        UnreadableError: If the source is no picture, is damaged, or exceeds Pillow's limit of size.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(stream, formats=_FORMATS) as opened:
                opened.load()
                picture = _flatten(ImageOps.exif_transpose(opened), background)
        # Pillow's decoders raise anything from OSError to struct.error on damaged files
        except Exception as error:
            raise UnreadableError(
                str(error).splitlines()[0] if str(error) else repr(error)
            ) from error
    picture = picture.convert("L" if channels == 1 else "RGB")
    if cut is not None:
        picture = _centre(picture, cut, cut)
    if size is not None and picture.size != (size, size):
        picture = _fit(picture, size, resize, background)
    return np.asarray(picture, np.uint8).reshape(picture.height, picture.width, channels)


def _flatten(picture: Image.Image, background: Sequence[int]) -> Image.Image:
    """Convert to 8 bits a channel, and lay transparent pixels on the background."""
    if picture.mode in _DEEP:
        values = np.asarray(picture, np.float64)
        # 16-bit values span 0 to 65535 in every number type of the decoder
        top = 255.0 if values.max(initial=0) <= 255 else 65535.0  # noqa: PLR2004
        return Image.fromarray(np.rint(np.clip(values / top, 0, 1) * 255).astype(np.uint8))
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*background, 255))
        ground.alpha_composite(picture)
        return ground
    return picture


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
