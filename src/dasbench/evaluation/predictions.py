"""Predictions from scores: the output of each subset model, for every damping and transform.

Letters: N training examples, Q queries, M subset models, G dampings of a grid. A *path* is an
iterable with one item (damping, scores) per damping. The damping is relative to the largest
eigenvalue, or None. Scores have no transform yet; they are [N, Q], or [T, N, Q] by timestep.

A path is read once, for all transforms, and only its predictions [M, Q] are kept. Many queries come
in blocks with one path each: the linear datamodelling score of a query depends on no other query.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dasbench.attribution.transforms import TRANSFORMS, combine

Path = Iterable[tuple[float | None, np.ndarray]]


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
    """Predictions along a path, dampings ascending.

    Attributes:
        dampings: [G], or [NaN] for a method without damping.
        sums: transform -> [G, M, Q], the predicted output of each subset model.
    """

    dampings: np.ndarray
    sums: dict[str, np.ndarray]

    @property
    def damped(self) -> bool:
        """Whether the method has a damping."""
        return not np.isnan(self.dampings[0])

    def edge(self, index: int) -> bool:
        """Whether a damping is an end of the grid; a better one may then lie outside."""
        return self.damped and index in (0, len(self.dampings) - 1)

    def find(self, damping: float) -> int:
        """Index of a damping, up to the rounding of a text file."""
        if not self.damped and np.isnan(damping):
            return 0
        match = np.flatnonzero(np.isclose(self.dampings, damping, rtol=1e-9, atol=0))
        if not len(match):
            raise ValueError(
                f"the chosen damping {damping} is not on the path; score the grid of its choice"
            )
        return int(match[0])


def predict(paths: Iterable[Path], masks: np.ndarray) -> Predicted:
    """Predictions for every damping and transform; the LDS needs nothing else of the scores.

    Args:
        paths: One path per block of queries, in order, all with the same dampings.
        masks: [M, N] bool.

    Raises:
        ValueError: If dampings are neither distinct numbers nor one None, or differ between blocks.
    """
    weights, parts = masks.astype(np.float64), []
    for path in paths:
        sums, dampings = {name: [] for name in TRANSFORMS}, []
        for damping, scores in path:
            dampings.append(np.nan if damping is None else float(damping))
            for name in TRANSFORMS:
                sums[name].append(sum_scores(weights, combine(scores, name)))
        values = np.array(dampings)
        if (
            not dampings
            or len(np.unique(values)) != len(values)
            or (len(values) > 1 and np.isnan(values).any())
        ):
            raise ValueError(
                f"the path has dampings {dampings}, expected distinct numbers or a single None"
            )
        order = np.argsort(values)
        stacked = {name: np.stack(stack)[order] for name, stack in sums.items()}
        parts.append(Predicted(values[order], stacked))
    if any(not np.array_equal(p.dampings, parts[0].dampings, equal_nan=True) for p in parts):
        raise ValueError("blocks of queries have different dampings; score one grid for all")
    joined = {name: np.concatenate([p.sums[name] for p in parts], axis=2) for name in TRANSFORMS}
    return Predicted(parts[0].dampings, joined)
