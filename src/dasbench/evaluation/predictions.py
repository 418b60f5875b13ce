"""Predictions from scores: the output of each subset model, for every point and transform.

Letters: N training examples, Q queries, M subset models, G points of a grid of parameters. Scores
come in blocks of queries and, if they have several parts such as timesteps, part by part
(``dasbench.attribution.methods.interface``). A block has a *path*: one item (point, scores [N, q])
for each point, without a transform.

A path is read once, for all transforms, and only its predictions [M, q] are kept. They are linear
in the transformed scores, so those of the parts add up; no scores are held.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dasbench.attribution.parameters import Point, at_end
from dasbench.attribution.transforms import TRANSFORMS, apply

if TYPE_CHECKING:  # few of the scripts with predictions run a method
    from dasbench.attribution.methods.interface import Block


def sum_scores(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Predicted output of each subset model: the sum of the scores of its training examples.

    Args:
        masks: [M, N] bool or float64, 1 where the subset has the example.
        scores: [N, Q], transformed.

    Returns:
        [M, Q] float64.

    Raises:
        ValueError: If the shapes disagree or a score is not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if masks.shape[1] != len(scores):
        raise ValueError(
            f"masks have {masks.shape[1]} examples, scores {len(scores)}; score every example"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            "scores contain NaN or infinity; give examples without influence the score 0"
        )
    sums = masks.astype(np.float64, copy=False) @ scores
    # Constant scores must give ties on subsets of equal size; floating-point sums would differ by
    # rounding, and the ranking would use these differences.
    constant = (scores == scores[0]).all(axis=0)
    sums[:, constant] = masks.sum(axis=1)[:, None] * scores[0, constant]
    return sums


class Predicted(NamedTuple):
    """Predictions along a path, in its order.

    Attributes:
        points: [G] different points; a method without parameters has the empty point alone.
        sums: transform -> [G, M, Q], the predicted output of each subset model.
    """

    points: tuple[Point, ...]
    sums: dict[str, np.ndarray]

    @property
    def tuned(self) -> bool:
        """Whether the method has parameters."""
        return bool(len(self.points[0]))

    def edge(self, index: int) -> bool:
        """Whether a number of the point is an end of its grid; a better one may lie outside."""
        return at_end(self.points, index)

    def find(self, point: Point) -> int:
        """Index of a point."""
        if point not in self.points:
            raise ValueError(f"the chosen {point} is not on the path; score the grid of its choice")
        return self.points.index(point)


def predict(blocks: Iterable[Block], masks: np.ndarray) -> dict[str, Predicted]:
    """Predictions for every point and transform; the LDS needs nothing else of the scores.

    Args:
        blocks: From ``interface.blocks``; blocks of queries in order, all with the same points.
        masks: [M, N] bool.

    Returns:
        Kind of query -> predictions.

    Raises:
        ValueError: If a path has no points or repeats one, or points differ between blocks.
    """
    weights = masks.astype(np.float64)
    totals: dict[str, dict[int, dict[Point, np.ndarray]]] = {}  # kind -> column -> point -> sums
    for block in blocks:
        by_point = totals.setdefault(block.kind, {}).setdefault(block.columns.start, {})
        points = []
        for point, scores in block.path:
            points.append(point)
            sums = np.stack([sum_scores(weights, apply(scores, name)) for name in TRANSFORMS])
            by_point[point] = by_point.get(point, 0.0) + sums / block.parts
        if not points or len(set(points)) != len(points):
            raise ValueError(f"the path has points {points}, expected different ones, at least one")
    return {kind: _joined(list(by_column.values())) for kind, by_column in totals.items()}


def _joined(columns: list[dict[Point, np.ndarray]]) -> Predicted:
    """Blocks of queries side by side; each has point -> [transforms, M, q]."""
    points = tuple(columns[0])
    if any(tuple(column) != points for column in columns):
        raise ValueError("blocks of queries have different points; score one grid for all")
    sums = [np.concatenate([column[point] for column in columns], axis=2) for point in points]
    by_transform = map(np.stack, zip(*sums, strict=True))  # [G, M, Q] each
    return Predicted(points, dict(zip(TRANSFORMS, by_transform, strict=True)))
