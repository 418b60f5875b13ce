"""Predictions from scores: the output of each subset model, for every point and transform.

Letters: N training examples, Q queries, M subset models, G points of a grid of parameters. A *path*
is an iterable with one item (point, scores) per point, see ``dasbench.attribution.parameters``.
Scores have no transform yet; they are [N, Q], or [T, N, Q] by timestep.

A path is read once, for all transforms, and only its predictions [M, Q] are kept. Many queries come
in blocks with one path each: the linear datamodelling score of a query depends on no other query.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dasbench.attribution.parameters import Point, at_end
from dasbench.attribution.transforms import TRANSFORMS, combine

Path = Iterable[tuple[Point, np.ndarray]]


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


def predict(paths: Iterable[Path], masks: np.ndarray) -> Predicted:
    """Predictions for every point and transform; the LDS needs nothing else of the scores.

    Args:
        paths: One path per block of queries, in order, all with the same points.
        masks: [M, N] bool.

    Raises:
        ValueError: If a path has no points or repeats one, or points differ between blocks.
    """
    weights, parts = masks.astype(np.float64), []
    for path in paths:
        sums, points = {name: [] for name in TRANSFORMS}, []
        for point, scores in path:
            points.append(point)
            for name in TRANSFORMS:
                sums[name].append(sum_scores(weights, combine(scores, name)))
        if not points or len(set(points)) != len(points):
            raise ValueError(f"the path has points {points}, expected different ones, at least one")
        parts.append(Predicted(tuple(points), {n: np.stack(each) for n, each in sums.items()}))
    if any(part.points != parts[0].points for part in parts):
        raise ValueError("blocks of queries have different points; score one grid for all")
    joined = {name: np.concatenate([p.sums[name] for p in parts], axis=2) for name in TRANSFORMS}
    return Predicted(parts[0].points, joined)
