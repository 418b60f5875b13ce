"""Shapes of the answer page's charts: paths in a box of 100 by 40, as text for SVG.

Pages draw them stretched to any width, so they hold no text; words stand beside them as HTML.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 100.0, 40.0
BINS = 60
_GAP = 0.25  # of a bar's place
_NEAR_ZERO = 1e-9  # of the largest score; closer to zero, the axis is linear in any case


def bars(sizes: np.ndarray, base: float = HEIGHT, height: float = HEIGHT, gap: float = _GAP) -> str:
    """Bars from the left to the right, as the ``d`` of an SVG path.

    Args:
        sizes: [n] in [0, 1], not negative; 1 is a bar of the whole height.
        base: Vertical place of the feet of the bars.
        height: Height of a bar of size 1; negative for bars that hang down.
        gap: Space between two bars, as a share of a bar's place.
    """
    place = WIDTH / max(len(sizes), 1)
    width = place * (1 - gap)
    return "".join(
        f"M{i * place + place * gap / 2:.4g} {base:g}v{-height * size:.4g}h{width:.4g}"
        f"v{height * size:.4g}z"
        for i, size in enumerate(sizes)
        if size > 0
    )


@dataclass(frozen=True)
class Histogram:
    """Training images above a line, decoys below it.

    Attributes:
        training: Path of the bars above.
        decoys: Path of the bars below.
        marks: Horizontal places of some training images, in [0, 100].
        highest: Horizontal place of the highest decoy.
        above: Number of training images whose score exceeds that of every decoy.
    """

    training: str
    decoys: str
    marks: list[float]
    highest: float
    above: int


def histogram(training: np.ndarray, decoys: np.ndarray, listed: np.ndarray) -> Histogram:
    """Compare the scores of training images and decoys for one query.

    A bar's height is the square root of a share of its group, so that a few images remain visible.
    The axis is linear near zero and logarithmic far from it, because scores spread over many powers
    of ten.

    Args:
        training: [N] scores; those that are no finite number are left out.
        decoys: [D] scores, alike; each group has at least one finite number.
        listed: Rows of training images to mark.
    """
    marked = training[listed]
    training, decoys, marked = (group[np.isfinite(group)] for group in (training, decoys, marked))
    scores = np.concatenate([training, decoys])
    sizes = np.abs(scores[scores != 0])
    typical = max(np.median(sizes), _NEAR_ZERO * sizes.max()) if len(sizes) else 1.0

    def place(values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.log1p(np.abs(values) / typical)

    low, high = place(scores).min(), place(scores).max()
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    heights = [
        np.sqrt(np.histogram(place(values), edges)[0] / len(values))
        for values in (training, decoys)
    ]
    tallest, half = max(group.max() for group in heights), HEIGHT / 2

    def across(values: np.ndarray) -> list[float]:
        return (WIDTH * (place(values) - edges[0]) / (edges[-1] - edges[0])).round(2).tolist()

    return Histogram(
        bars(heights[0] / tallest, half, half, 0.1),
        bars(heights[1] / tallest, half, -half, 0.1),
        across(marked),
        across(decoys.max()),
        int((training > decoys.max()).sum()),
    )
