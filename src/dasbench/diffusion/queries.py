"""Labels of generated queries, and the split of queries into tuning and evaluation."""

from __future__ import annotations

import numpy as np

from dasbench.core.query_kinds import KINDS

NEIGHBOURS = 5


def nearest_labels(
    queries: np.ndarray, train: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Majority label of each query's pixel-nearest training images.

    Args:
        queries: [Q, C, H, W] float in [-1, 1].
        train: [N, C, H, W] float in [-1, 1].
        labels: [N] int64.
        neighbours: Number of training images that vote; in a tie the smallest label wins.

    Returns:
        [Q] int64.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (queries, train))
    distance = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)[None, :]
    votes = labels[np.argsort(distance, axis=1, kind="stable")[:, :neighbours]]
    return np.array([np.bincount(v).argmax() for v in votes], dtype=np.int64)


def uses(settings: dict[str, int]) -> dict[str, dict[str, list[int]]]:
    """Split the queries of each kind: the first ones for tuning, the others for evaluation.

    Args:
        settings: val, gen: numbers of queries, 0 for a kind that is absent; tuning: number of
            queries of each kind for tuning.

    Returns:
        kind -> {"tuning": positions, "evaluation": positions}.
    """
    cut = settings["tuning"]
    return {
        kind: {"tuning": list(range(cut)), "evaluation": list(range(cut, settings[kind]))}
        for kind in KINDS
        if settings[kind]
    }
