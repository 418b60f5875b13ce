"""The images that are asked about, and the labels that generated ones are given."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 5


def nearest_labels(
    queries: np.ndarray, train: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Majority label of each query's pixel-nearest training images.

    Args:
        queries: [Q, C, H, W] float in [-1, 1].
        train: [N, C, H, W] float in [-1, 1].
        labels: [N] int64.
        neighbours: How many training images vote; ties go to the smallest label.

    Returns:
        [Q] int64.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (queries, train))
    distance = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)[None, :]
    votes = labels[np.argsort(distance, axis=1, kind="stable")[:, :neighbours]]
    return np.array([np.bincount(v).argmax() for v in votes], dtype=np.int64)


def uses(settings: dict[str, int]) -> dict[str, dict[str, list[int]]]:
    """Which queries of each kind are for tuning (the first) and which for evaluation.

    Args:
        settings: val, gen: numbers of queries; tuning: how many of each are for tuning.
    """
    cut = settings["tuning"]
    return {
        kind: {"tuning": list(range(cut)), "evaluation": list(range(cut, settings[kind]))}
        for kind in ("val", "gen")
    }
