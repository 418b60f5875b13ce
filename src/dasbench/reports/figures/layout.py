"""Layout of figures: panels in inches, labels moved apart, logarithmic ticks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter


def panels(  # noqa: PLR0913
    figure: Figure, count: int, left: float, right: float, gap: float, *, bottom: float = 0.8
) -> list[Axes]:
    """Panels side by side with margins in inches, independent of a layout engine.

    Args:
        figure: The figure.
        count: Number of panels.
        left: Margin for row labels.
        right: Margin at the right.
        gap: Space between panels.
        bottom: Margin for the axis label and a legend.
    """
    width, height = figure.get_size_inches()
    each = (width - left - right - gap * (count - 1)) / count
    foot, head = bottom / height, 1 - 0.4 / height
    return [
        figure.add_axes(((left + i * (each + gap)) / width, foot, each / width, head - foot))
        for i in range(count)
    ]


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move labels apart to at least ``gap`` by the least squared shift, and keep their order.

    Isotonic regression of ``positions - gap * rank``, by pooling adjacent violators.

    Args:
        positions: Preferred positions of the labels, in any order.
        gap: Smallest distance between two labels.

    Returns:
        New positions, in the order of ``positions``.
    """
    order = np.argsort(positions, kind="stable")
    blocks: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        blocks.append((float(positions[index]) - gap * rank, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (b, m), (a, n) = blocks.pop(), blocks.pop()
            blocks.append(((a * n + b * m) / (n + m), n + m))
    flat = [mean for mean, count in blocks for _ in range(count)]
    moved = [0.0] * len(flat)
    for rank, index in enumerate(order):
        moved[index] = flat[rank] + gap * rank
    return moved


def log_axis(axis: Axis) -> None:
    """A tick at each second power of ten, written in plain characters (mathtext is off)."""
    superscripts = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    axis.set_major_locator(LogLocator(base=100))
    axis.set_major_formatter(
        lambda value, _: f"10{str(round(np.log10(value))).translate(superscripts)}"
    )
    axis.set_minor_formatter(NullFormatter())
