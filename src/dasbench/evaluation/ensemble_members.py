"""What one model would add to averages of scores: predictions, and means over timesteps.

``attribution.ensembles`` has the scores, ``evaluation.ensemble_ranking`` judges their averages.
Predictions are linear in the influences of models and timesteps, so those of a member are kept in
the place of its scores, unless a function acts on the mean of several members.

Letters: N training examples, q tuning queries, M tuning subsets, G dampings, F functions, T grids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dasbench.attribution.ensembles import FUNCTIONS, Features, taus
from dasbench.evaluation.predictions import sum_scores


class Explored(NamedTuple):
    """What is kept of one member, for one kind of query.

    Attributes:
        predictions: [T, 2, F, G, M, q] float32, predicted outputs of the tuning subsets; by grid of
            timesteps, order (each, member) and function.
        means: [T, G, N, q] float32, mean over the timesteps of tau.
    """

    predictions: np.ndarray
    means: np.ndarray

    def at(self, grid: int) -> Explored:
        """The same of one grid of timesteps, without the axis T."""
        return Explored(self.predictions[grid], self.means[grid])


def explore(
    features: Features,
    grids: Sequence[np.ndarray],
    masks: np.ndarray,
    dampings: Sequence[float],
    functions: Sequence[str],
) -> dict[str, Explored]:
    """Go through the timesteps of one member once, for several grids of timesteps.

    Args:
        features: As for ``taus``, of every timestep in any grid, each once.
        grids: Timesteps of each grid.
        masks: [M, N] bool.
        dampings: G relative dampings.
        functions: F names.

    Returns:
        Kind of query -> what is kept.
    """
    weights, kept = masks.astype(np.float64), {}
    size = (len(grids), 2, len(functions), len(dampings), len(masks))
    for t, kind, path in taus(features, dampings):
        inside = [(k, len(grid)) for k, grid in enumerate(grids) if t in grid]
        for g, tau in enumerate(path):
            if kind not in kept:
                shape = (len(grids), len(dampings), *tau.shape)
                kept[kind] = Explored(np.zeros((*size, tau.shape[1])), np.zeros(shape))
            for f, sums in enumerate(_sums(weights, tau, functions)):
                for k, count in inside:
                    kept[kind].predictions[k, 0, f, g] += sums / count
            for k, count in inside:
                kept[kind].means[k, g] += tau / count
    for of_kind in kept.values():
        for k, g in np.ndindex(of_kind.means.shape[:2]):
            sums = list(_sums(weights, of_kind.means[k, g], functions))
            of_kind.predictions[k, 1, :, g] = sums
    return {
        kind: Explored(*(part.astype(np.float32) for part in one)) for kind, one in kept.items()
    }


def _sums(weights: np.ndarray, tau: np.ndarray, functions: Iterable[str]) -> Iterable[np.ndarray]:
    """The predictions [M, q] of each function of tau."""
    return (sum_scores(weights, FUNCTIONS[name](tau)) for name in functions)
