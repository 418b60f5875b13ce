"""Number of timesteps needed to measure a subset model: outputs and LDS on grids of timesteps.

Vocabulary: a *grid* is a number of timesteps and their spacing
(``dasbench.diffusion.outputs.grid``). The last grid is all timesteps, and the others are compared
with it. Noise is keyed by query and timestep, so two grids differ only in their timesteps and
weights. Letters: G grids, K models of a shard, M subset models, R retraining seeds, T timesteps, N
training examples, Q queries. The target is the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dasbench.evaluation import lds, statistics
from dasbench.evaluation.bootstrap import Draws
from dasbench.evaluation.predictions import sum_scores

GRIDS = (
    *((count, "midpoint") for count in (8, 16, 32, 64, 80, 125)),
    *((count, "quadratic") for count in (16, 32, 48)),
)
GRID = ["timesteps", "spacing"]


def average(losses: np.ndarray, grids: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Average losses over each grid.

    Args:
        losses: [K, T, Q], minus the loss at every timestep.
        grids: Timesteps [t] and weights [t] of each grid, from ``dasbench.diffusion.outputs.grid``.

    Returns:
        [G, K, Q] float32.
    """
    means = [np.einsum("ktq,t->kq", losses[:, steps], weights) for steps, weights in grids]
    return np.stack(means).astype(np.float32)


def agreement(outputs: np.ndarray) -> pd.DataFrame:
    """Rank correlation over subsets between the outputs on each grid and those on all timesteps.

    Args:
        outputs: [G, R, M, Q], the last grid of all timesteps.

    Returns:
        GRID, rank_correlation (mean over queries; an undefined correlation enters as 0).
    """
    *means, whole = outputs.mean(axis=1, dtype=np.float64)  # [M, Q] each
    ranks = [np.nan_to_num(statistics.spearman(mean, whole)).mean() for mean in means]
    return pd.DataFrame(GRIDS, columns=GRID).assign(rank_correlation=ranks)


def compare(
    outputs: np.ndarray, scores: Mapping[str, np.ndarray], masks: np.ndarray, draws: Draws
) -> pd.DataFrame:
    """LDS of every method on each grid, and on all timesteps with its interval.

    Args:
        outputs: [G, R, M, Q], the last grid of all timesteps.
        scores: Method -> [N, Q], transformed.
        masks: [M, N] bool.
        draws: For (M, Q).

    Returns:
        method, GRID, lds, lds_all, lo, hi (of lds_all), inside (whether lds lies between them).
    """
    *means, whole = outputs.mean(axis=1, dtype=np.float64)
    truth, rows = lds.Truth(outputs[-1], draws), []
    for method, values in scores.items():
        sums = sum_scores(masks, values)[None]  # [1, M, Q]
        estimate = lds.PathLDS(sums, whole).mean[0]
        lo, hi = draws.bootstrap.interval(estimate, truth.resample(sums, {"all": 0})[0])
        for grid, mean in zip(GRIDS, means, strict=True):
            on_grid = lds.PathLDS(sums, mean).mean[0]
            inside = bool(lo <= on_grid <= hi)
            rows.append([method, *grid, on_grid, estimate, lo, hi, inside])
    return pd.DataFrame(rows, columns=["method", *GRID, "lds", "lds_all", "lo", "hi", "inside"])
