"""The picture at the top of README: generated images, and the training images behind them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dasbench.reports.figures import style
from dasbench.reports.figures.canvas import Canvas

_SIDE, _GAP = 0.86, 0.1  # inches
_LEFT, _TOP = 1.9, 0.42  # inches: where the training images begin


@style.styled
def rows(explorer: Mapping[str, Any], method: str, count: int = 3, top: int = 7) -> Figure:
    """One line for each query: the image, an arrow, and its training images by falling score.

    Args:
        explorer: ``contents`` of ``explorer.json``.
        method: Whose scores are shown.
        count: The first so many generated evaluation queries, without selection.
        top: Training images in a line.
    """
    kind = explorer["kinds"]["gen"]
    lists, pictures = kind["lists"][method], explorer["training"]["pictures"]
    line = _SIDE + 0.24
    sheet = Canvas(_LEFT + top * (_SIDE + _GAP), _TOP + count * line)
    sheet.text(0, 0.22, "generated image", size=10, weight="bold")
    words = f"training images with the highest scores ({method})"
    sheet.text(_LEFT, 0.22, words, size=10, weight="bold")
    for i in range(count):
        y = _TOP + i * line
        sheet.image(_pixels(kind["pictures"][i]), 0, y, _SIDE, edge=style.INK)
        end, middle = (_LEFT - 0.15, y + _SIDE / 2), (_SIDE + 0.15, y + _SIDE / 2)
        arrow = {"arrowstyle": "<-", "color": style.MUTED, "lw": 1.4}
        sheet.axes.annotate("", xy=middle, xytext=end, arrowprops=arrow)
        scores = lists["scores"][i]
        for place in range(min(top, explorer["highest"])):
            x = _LEFT + place * (_SIDE + _GAP)
            sheet.image(_pixels(pictures[lists["rows"][i][place]]), x, y, _SIDE)
            share = scores[place] / scores[0] if scores[0] > 0 else 0.0
            colour = style.look(method).colour
            sheet.bar(x, y + _SIDE + 0.04, float(np.clip(share, 0, 1)) * _SIDE, 0.05, colour)
    return sheet.figure


def _pixels(uri: str) -> np.ndarray:
    """A picture of the page as [H, W, 3] uint8."""
    from PIL import Image

    content = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
