"""How far does any additive predictor get? A datamodel of the evaluation subsets' own outputs.

Every score predicts a model's output by a sum over its training images. The ridge regression of
``attribution.methods.datamodels`` is such a sum, too, but it is fitted on outputs of evaluation
subsets: on m of them, and judged on others. Where its LDS still grows with m, more models would fit
a better sum. It is a reference, no method: nothing is chosen by it.

With far fewer models than images, a fit from nothing is worse than good scores. So a fit may also
*start* from a method's scores: the multiple of them that fits best is taken out of the outputs, and
the datamodel is fitted on the rest. Against the row of the same start with m = 0, the method itself
on the same subsets, it shows what a better sum would add.

Letters: N training examples, Q queries, M evaluation subsets, R seeds, K folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
NOTHING = "nothing"  # the start of a datamodel alone
COLUMNS = "queries target start models lds lo hi judged evaluation_outputs".split()


def sizes(models: int) -> list[int]:
    """Numbers m of fitted models, ascending; the last is all but one fold of the M models."""
    most = models - models // FOLDS
    parts = {round(most * share) for share in (1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6)}
    return [m for m in sorted(parts) if LEAST <= m < most] + [most]


def fit(masks: np.ndarray, outputs: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """The datamodel of some subsets, or the sum of a multiple of scores and that of the rest.

    Args:
        masks: [m, N] bool.
        outputs: [m, Q] float64.
        start: [N, Q] scores; None: the datamodel alone.

    Returns:
        [N, Q] float64. The multiple is that of least squares with an intercept, not negative.
    """
    if start is None:
        return datamodel(masks, outputs)
    predicted = sum_scores(masks, start)
    x, y = predicted - predicted.mean(0), outputs - outputs.mean(0)
    squares = np.square(x).sum(0)
    slope = np.maximum((x * y).sum(0), 0) / np.where(squares > 0, squares, 1)
    return slope * start + datamodel(masks, outputs - slope * predicted)


def per_query(
    masks: np.ndarray,
    outputs: np.ndarray,
    size: int,
    axes: Sequence[str | int],
    start: np.ndarray | None = None,
) -> np.ndarray:
    """LDS of the fit to m subsets, on subsets that it has not seen.

    Args:
        masks: [M, N] bool.
        outputs: [M, Q], averaged over seeds.
        size: m; 0 for the start itself.
        axes: Leading seed axes of the orders of the subsets; the orders are the same for every m.
        start: [N, Q] scores, or None.

    Returns:
        [Q] float64, mean over ``SHUFFLES`` random orders and ``FOLDS`` folds; an undefined one
        enters as 0.
    """
    judged, total = len(masks) // FOLDS, np.zeros(outputs.shape[1])
    for number in range(SHUFFLES):
        order = seeds.generator(*axes, "additive", number).permutation(len(masks))
        for fold in range(FOLDS):
            rotated = np.roll(order, -fold * judged)
            test, used = rotated[:judged], rotated[judged : judged + size]
            scores = fit(masks[used], outputs[used], start) if size else start
            lds = statistics.spearman(sum_scores(masks[test], scores), outputs[test])
            total += np.nan_to_num(lds)
    return total / (SHUFFLES * FOLDS)


def curve(
    masks: np.ndarray,
    outputs: np.ndarray,
    axes: Sequence[str | int],
    bootstrap: Bootstrap,
    starts: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """LDS for each start and number of fitted models; intervals are over queries alone.

    Args:
        masks: [M, N] bool.
        outputs: [R, M, Q] of the evaluation queries.
        axes: Leading seed axes.
        bootstrap: Draws and level of the intervals.
        starts: Method -> its scores [N, Q].
    """
    mean = outputs.mean(axis=0, dtype=np.float64)
    counts = bootstrap.counts(seeds.generator(*axes, "additive", "queries"), mean.shape[1])
    rows: list[dict[str, Any]] = []
    for name, start in {NOTHING: None, **(starts or {})}.items():
        for size in [0] * (start is not None) + sizes(len(masks)):
            lds = per_query(masks, mean, size, axes, start)
            lo, hi = bootstrap.interval(lds.mean(), counts @ lds / len(lds))
            rows.append({"start": name, "models": size, "lds": lds.mean(), "lo": lo, "hi": hi})
    return pd.DataFrame(rows).assign(judged=len(masks) // FOLDS, evaluation_outputs=True)
