"""LDS and the width of its interval against the number of subset models, and the full table.

The curve shows the LDS that fewer subset models would give. For m models, the estimate is the mean
LDS over random choices of m of the M evaluation subsets, without replacement. The interval is from
a bootstrap that draws m subsets, and queries, with replacement. Scores are read from the stored
files, at the held-out damping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dasbench import seeds
from dasbench.evaluation import statistics
from dasbench.evaluation.bootstrap import Bootstrap, Draws
from dasbench.evaluation.predictions import sum_scores

CHOICES = 50  # random choices of m subsets
MOST = 500  # bootstrap draws
LEAST = 4  # models; a rank correlation over fewer is meaningless
COLUMNS = ["method", "queries", "target", "models", "lds", "lo", "hi", "width"]


def sizes(models: int) -> list[int]:
    """Numbers of models on the curve, ascending; the last is all models."""
    parts = {round(models * share) for share in (1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4)}
    return [m for m in sorted(parts) if m >= LEAST] + [models]


def curve(
    scores: Mapping[str, np.ndarray],
    masks: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    axes: tuple[Any, ...],
    lds: Mapping[str, Any],
) -> pd.DataFrame:
    """Curves of all methods for one kind of query.

    Args:
        scores: method -> [N, Q] transformed scores of the evaluation queries.
        masks: [M, N] bool.
        outputs: target -> [R, M, Q].
        axes: Leading seed axes; the draws are the same for all methods and targets.
        lds: draws, level.

    Returns:
        A table with COLUMNS, "queries" left out.
    """
    rng = seeds.generator(*axes, "by_models")
    m, q = len(masks), next(iter(outputs.values())).shape[2]
    bootstrap = Bootstrap(min(lds["draws"], MOST), lds["level"])
    queries, plan = bootstrap.counts(rng, q), []
    for size in sizes(m):
        draws = Draws(bootstrap, bootstrap.counts(rng, m, size), queries)
        plan.append((size, _choices(rng, m, size), draws))
    sums = {name: sum_scores(masks, values) for name, values in scores.items()}
    rows = []
    for target, array in outputs.items():
        mean = array.mean(axis=0, dtype=np.float64)
        for size, choices, draws in plan:
            exact = statistics.ResampledRanks(mean, choices)
            resampled = statistics.ResampledRanks(mean, draws.subsets)
            for name, predicted in sums.items():
                estimate = np.nan_to_num(exact.correlate(predicted)).mean()
                lo, hi = bootstrap.interval(estimate, draws.mean(resampled.correlate(predicted)))
                rows.append([name, target, size, estimate, lo, hi, hi - lo])
    return pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "queries"])


def _choices(rng: np.random.Generator, models: int, size: int) -> np.ndarray:
    """Random choices without replacement, as counts 0 or 1: [CHOICES, M], or [1, M] for all."""
    if size == models:
        return np.ones((1, models), dtype=np.int64)
    order = rng.random((CHOICES, models)).argsort(axis=1).argsort(axis=1)
    return (order < size).astype(np.int64)


def full_table(summary: pd.DataFrame, ceiling: pd.DataFrame) -> pd.DataFrame:
    """Held-out and oracle rows of all methods and transforms, with fractions of the ceiling.

    Args:
        summary: ``lds/summary.csv``.
        ceiling: ``lds/ceiling.csv``.

    Returns:
        The rows with ceiling_lo, ceiling_hi and fraction (LDS over ceiling). The fraction is NaN
        where the lower bound of the ceiling is not positive.
    """
    bounds = ceiling[["queries", "target", "lo", "hi"]]
    bounds = bounds.rename(columns={"lo": "ceiling_lo", "hi": "ceiling_hi"})
    rows = summary[summary.selection.isin(("held_out", "oracle"))]
    table = rows.merge(bounds, on=["queries", "target"], how="left", validate="many_to_one")
    known = table.ceiling_lo > 0
    return table.assign(fraction=np.where(known, table.lds / table.ceiling.where(known), np.nan))
