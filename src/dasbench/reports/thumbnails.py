"""Small pictures for a page that holds all of them itself: each one a data URI.

A page that must stay small enough to send shrinks its pictures, all alike, until they fit.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

LARGEST = 256  # longer side in pixels; a page shows no picture larger
# (format, longer side), from the best to the smallest
_STEPS = [("PNG", LARGEST), *(("JPEG", side) for side in (256, 192, 128, 96, 64, 48, 32))]
_OPTIONS = {"PNG": {"optimize": True}, "JPEG": {"quality": 85, "subsampling": 0, "optimize": True}}


def fit(groups: Sequence[tuple[np.ndarray, Iterable[int]]], budget: int) -> list[list[str]]:
    """Data URIs of pictures that have at most ``budget`` characters together.

    PNG keeps every pixel of pictures of up to 256 pixels. If these are too many, all become JPEG,
    as large as the budget allows. The smallest form, 32 pixels, is taken even if it does not fit.

    Args:
        groups: Pairs of pictures [n, H, W, C] uint8, which may be a mapped file, and the rows to
            take.
        budget: Characters for all groups together.

    Returns:
        For each group, a data URI for each of its rows.
    """
    wanted = [(pictures, list(rows)) for pictures, rows in groups]
    largest = max((max(pictures.shape[1:3]) for pictures, rows in wanted if rows), default=0)
    steps = [step for step in _STEPS[:-1] if step == _STEPS[0] or step[1] < 2 * largest]
    for form, side in steps:
        if (uris := _within(wanted, form, side, budget)) is not None:
            return uris
    return [[data_uri(pictures[row], *_STEPS[-1]) for row in rows] for pictures, rows in wanted]


def _within(
    groups: Sequence[tuple[np.ndarray, list[int]]], form: str, side: int, budget: int
) -> list[list[str]] | None:
    """The data URIs in one form; None as soon as they exceed the budget."""
    uris: list[list[str]] = []
    for pictures, rows in groups:
        uris.append([])
        for row in rows:
            uri = data_uri(pictures[row], form, side)
            budget -= len(uri)
            if budget < 0:
                return None
            uris[-1].append(uri)
    return uris


def data_uri(pixels: np.ndarray, form: str = "PNG", side: int = LARGEST) -> str:
    """One picture as a data URI; it is shrunk if its longer side exceeds ``side``.

    Args:
        pixels: [H, W, C] uint8, C = 1 or 3.
        form: "PNG" or "JPEG".
        side: Longer side of the result in pixels.
    """
    pixels = np.asarray(pixels)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, form, **_OPTIONS[form])
    encoded = base64.b64encode(content.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{encoded}"
