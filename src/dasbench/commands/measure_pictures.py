"""Look at the pictures of a folder before an experiment file is written for them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from PIL import Image, ImageOps

from dasbench.data import decode, folder, pictures
from dasbench.data import files as sources


def measure(
    images: Path,
    listing: folder.Listing,
    span: Sequence[float] | None,
    skip_bad: bool,
    whole: bool = True,
) -> tuple[list[int], list[str]]:
    """The shorter side of every readable picture in pixels, and notes about the pictures.

    Args:
        images: The folder.
        listing: Its pictures.
        span: The numbers of black and white in pictures of more than 8 bits.
        skip_bad: Whether pictures that cannot be read are left out.
        whole: Whether these are all pictures for which ``span`` is meant.

    Raises:
        UserError: If pictures cannot be read and are not to be left out, or their depth is unclear.
    """
    sides, bad, seen, digests = [], list(listing.bad), {}, []
    for name in listing.label_of:
        file = images / name
        try:
            side, seen[name] = _side(file, span)
        except Exception as error:  # Pillow raises many classes for a damaged file
            bad.append((name, str(error)))
        else:
            sides.append(side)
            digests.append((name, sources.digest(file)))
    pictures.refuse(images, bad, skip_bad)
    pictures.check_depth(seen, span, whole and not bad)
    return sides, [*listing.notes, *pictures.twins(pictures.groups(digests))]


def _side(file: Path, span: Sequence[float] | None) -> tuple[int, decode.Seen]:
    """The shorter side; the whole file is decoded, because a truncated file has a sound header."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=("JPEG",)) if _is_jpeg(file) else nullcontext() as picture:
            if picture is not None:
                side = min(picture.size)
                decode.check_end(picture)
                picture.draft(None, (1, 1))  # 1/8 of the side takes 1/10 of the time
                picture.load()
                ImageOps.exif_transpose(picture)
                return side, decode.Seen()
    image, seen = decode.look(file, None, span=span)
    return min(image.shape[:2]), seen


def _is_jpeg(file: Path) -> bool:
    if not file.is_file():  # a pipe would wait forever
        return False
    with file.open("rb") as content:
        return content.read(3) == b"\xff\xd8\xff"
