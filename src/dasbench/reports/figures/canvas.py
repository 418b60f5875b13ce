"""A sheet with small images and words at positions in inches, for all figures of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dasbench.errors import UserError
from dasbench.reports.figures import style


def displayable(images: np.ndarray) -> np.ndarray:
    """Images as RGB for the screen.

    Args:
        images: [..., C, H, W] float in [-1, 1], or [..., H, W, C] uint8; C is 1 or 3.

    Returns:
        [..., H, W, 3] uint8; a single channel becomes grey, values outside the range are clipped.

    Raises:
        UserError: If the number of channels is neither 1 nor 3.
    """
    if images.dtype != np.uint8:
        images = np.moveaxis(images, -3, -1)
        images = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise UserError(
            f"images with {channels} channels cannot be shown, only 1 (grey) or 3 (colour)"
        )
    return np.repeat(images, 3, axis=-1) if channels == 1 else images


class Canvas:
    """Places images by nearest neighbour (a pixel stays a square) at positions in inches.

    The origin is the top left corner. Use it only inside ``style.styled``.
    """

    def __init__(self, width: float, height: float) -> None:
        """Make an empty sheet.

        Args:
            width: Inches.
            height: Inches.
        """
        self.figure: Figure = style.new(height, width)
        self._size = (width, height)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self._limits()

    def image(
        self, pixels: np.ndarray, x: float, y: float, size: float, edge: str = style.FAINT
    ) -> None:
        """Place one image.

        Args:
            pixels: [H, W, 3] uint8; the longer side gets ``size``.
            x: Left edge.
            y: Top edge.
            size: Inches.
            edge: Colour of the hairline around it.
        """
        height, width = pixels.shape[:2]
        w, h = size * width / max(height, width), size * height / max(height, width)
        # "none" keeps the pixels as they are in SVG, and is nearest neighbour in PNG
        self.axes.imshow(pixels, extent=(x, x + w, y + h, y), aspect="auto", interpolation="none")
        self.axes.add_patch(Rectangle((x, y), w, h, fill=False, ec=edge, lw=0.5))
        self._limits()

    def text(self, x: float, y: float, words: str, size: float = 8, **style_options: Any) -> None:
        """Write words; ``y`` is the baseline unless ``va`` says otherwise."""
        self.axes.text(x, y, words, fontsize=size, **style_options)

    def bar(self, x: float, y: float, length: float, height: float, colour: str) -> None:
        """Draw a filled rectangle."""
        self.axes.add_patch(Rectangle((x, y), length, height, color=colour, lw=0))

    def _limits(self) -> None:
        self.axes.set_xlim(0, self._size[0])
        self.axes.set_ylim(self._size[1], 0)
