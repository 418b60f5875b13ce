"""How far does any additive predictor get? A datamodel of the evaluation subsets' own outputs.

Every score predicts a model's output by a sum over its training images. The ridge regression of
``attribution.methods.datamodels`` is such a sum, too, but it is fitted on outputs of evaluation
subsets: on m of them, and judged on others. Where its LDS still grows with m, more models would fit
a better sum. It is a reference, no method: nothing is chosen by it.

Letters: N training examples, Q queries, M evaluation subsets, R seeds, K folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dasbench import seeds
from dasbench.attribution.methods.datamodels import datamodel
from dasbench.evaluation import statistics
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.predictions import sum_scores

FOLDS = 4
SHUFFLES = 5  # random orders of the subsets
LEAST = 4  # models of a fit, too few to choose a penalty below
COLUMNS = "queries target models lds lo hi judged evaluation_outputs".split()


def sizes(models: int) -> list[int]:
    """Numbers m of fitted models, ascending; the last is all but one fold of the M models."""
    most = models - models // FOLDS
    parts = {round(most * share) for share in (1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6)}
    return [m for m in sorted(parts) if LEAST <= m < most] + [most]


def per_query(
    masks: np.ndarray, outputs: np.ndarray, size: int, axes: Sequence[str | int]
) -> np.ndarray:
    """LDS of the datamodel of m subsets on subsets that it has not seen.

    Args:
        masks: [M, N] bool.
        outputs: [M, Q], averaged over seeds.
        size: m.
        axes: Leading seed axes of the orders of the subsets; the orders are the same for every m.

    Returns:
        [Q] float64, mean over ``SHUFFLES`` random orders and ``FOLDS`` folds; an undefined one
        enters as 0.
    """
    judged, total = len(masks) // FOLDS, np.zeros(outputs.shape[1])
    for number in range(SHUFFLES):
        order = seeds.generator(*axes, "additive", number).permutation(len(masks))
        for fold in range(FOLDS):
            rotated = np.roll(order, -fold * judged)
            test, fit = rotated[:judged], rotated[judged : judged + size]
            scores = datamodel(masks[fit], outputs[fit])
            lds = statistics.spearman(sum_scores(masks[test], scores), outputs[test])
            total += np.nan_to_num(lds)
    return total / (SHUFFLES * FOLDS)


def curve(
    masks: np.ndarray, outputs: np.ndarray, axes: Sequence[str | int], bootstrap: Bootstrap
) -> pd.DataFrame:
    """LDS for each number of fitted models; intervals are over queries alone.

    Args:
        masks: [M, N] bool.
        outputs: [R, M, Q] of the evaluation queries.
        axes: Leading seed axes.
        bootstrap: Draws and level of the intervals.
    """
    mean = outputs.mean(axis=0, dtype=np.float64)
    counts = bootstrap.counts(seeds.generator(*axes, "additive", "queries"), mean.shape[1])
    rows: list[dict[str, Any]] = []
    for size in sizes(len(masks)):
        lds = per_query(masks, mean, size, axes)
        lo, hi = bootstrap.interval(lds.mean(), counts @ lds / len(lds))
        judged = len(masks) // FOLDS
        rows.append({"models": size, "lds": lds.mean(), "lo": lo, "hi": hi, "judged": judged})
    return pd.DataFrame(rows).assign(evaluation_outputs=True)
