"""Ground truth of one run: what happens to this very model if it is trained without some images.

All replays share the seeds of one run (``dasbench.diffusion.replay``), so an output is a function
of the weights of the examples. Nothing is averaged over seeds, and no predictor is limited by their
noise. Three questions:

* ``agreement``: do a method's scores agree with the exact derivatives of this function?
* ``judge``: do they predict the outputs of replays on random masks, the linear datamodelling score
  (LDS) with this very run as target?
* ``linearity`` and ``metasmoothness``: how far from the weights 1 does a derivative reach?

Letters: N training examples, Q queries, M masks, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from dasbench.evaluation import beyond, lds, statistics
from dasbench.evaluation.bootstrap import Bootstrap, Draws
from dasbench.evaluation.predictions import sum_scores

TARGET = "loss"


def agreement(
    scores: Mapping[str, np.ndarray],
    exact: np.ndarray,
    bootstrap: Bootstrap,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Rank correlation over examples of scores with exact derivatives.

    Args:
        scores: Method -> [N, Q], under its own transform.
        exact: [N, Q].
        bootstrap: Resamples the queries.
        rng: Draws them, once for all methods.

    Returns:
        method; correlation, lo, hi with the derivative; size, size_lo, size_hi with its absolute
        value, for scores without sign. Each is a mean over queries; an undefined one enters as 0.
    """
    drawn = bootstrap.counts(rng, exact.shape[1]) / exact.shape[1]  # [B, Q]
    rows = []
    for method, values in scores.items():
        row = {"method": method}
        for column, truth in (("correlation", exact), ("size", np.abs(exact))):
            per_query = np.nan_to_num(statistics.spearman(values, truth))
            lo, hi = bootstrap.interval(per_query.mean(), drawn @ per_query)
            ends = ("lo", "hi") if column == "correlation" else ("size_lo", "size_hi")
            row |= {column: per_query.mean(), **dict(zip(ends, (lo, hi), strict=True))}
        rows.append(row)
    return pd.DataFrame(rows)


def judge(
    scores: Mapping[str, np.ndarray],
    masks: np.ndarray,
    outputs: np.ndarray,
    draws: Draws,
    floor: str | None = None,
) -> pd.DataFrame:
    """LDS of every method on the replays of one size of masks.

    Args:
        scores: Method -> [N, Q], transformed.
        masks: [M, N] bool.
        outputs: [M, Q], higher = better for the query.
        draws: For (M, Q).
        floor: The method whose predictions the partial LDS holds fixed.

    Returns:
        method, lds, lo, hi, partial, partial_lo, partial_hi (NaN without a floor), undefined, M, Q.
    """
    truth = lds.Truth(outputs[None], draws)
    given = {} if floor is None else {"floor": sum_scores(masks, scores[floor])}
    fixed = beyond.given(given, {TARGET: truth}, draws)
    others = {TARGET: truth.ranks} | {name: one.ranks for name, one in fixed.items()}
    rows = []
    for method, values in scores.items():
        sums = sum_scores(masks, values)
        along = lds.PathLDS(sums[None], truth.mean)
        resampled = statistics.correlations(sums, list(others.values()))
        drawn = dict(zip(others, resampled, strict=True))
        lo, hi = draws.bootstrap.interval(along.mean[0], draws.mean(drawn[TARGET]))
        about = beyond.judge(sums, along.per_query[0], drawn, TARGET, fixed, draws).columns
        row = {"method": method, "lds": along.mean[0], "lo": lo, "hi": hi}
        row |= {name: about[name] for name in ("partial", "partial_lo", "partial_hi")}
        shape = dict(zip("MQ", outputs.shape, strict=True))
        rows.append(row | {"undefined": along.undefined(0)} | shape)
    return pd.DataFrame(rows)


class Linearity(NamedTuple):
    """How well derivatives predict changes, without ranks.

    Attributes:
        pearson: Mean over queries of the correlation over masks of predicted and true change.
        slope: Median over queries of the least-squares slope through 0, true over predicted; 1 for
            a linear function.
        explained: Median over queries of 1 - |true - predicted|^2 / |true|^2; 1 for a linear
            function, below 0 if predicting no change at all is better.
    """

    pearson: float
    slope: float
    explained: float


def linearity(
    exact: np.ndarray, masks: np.ndarray, outputs: np.ndarray, whole: np.ndarray
) -> Linearity:
    """Compare the changes that derivatives predict with those of the replays.

    Args:
        exact: [N, Q] derivatives at the weights 1.
        masks: [M, N] bool.
        outputs: [M, Q] of the replays on the masks.
        whole: [Q] of the replay on all examples.

    Raises:
        ValueError: If a query's changes, true or predicted, are constant over the masks.
    """
    predicted = -sum_scores(~masks, exact)  # [M, Q]
    true = outputs.astype(np.float64) - whole
    centred = [a - a.mean(0) for a in (predicted, true)]
    norms = [np.linalg.norm(a, axis=0) for a in centred]
    if not all(n.all() for n in norms):
        raise ValueError("changes of a query are constant over the masks; draw masks that differ")
    pearson = (centred[0] * centred[1]).sum(0) / (norms[0] * norms[1])
    slope = (predicted * true).sum(0) / np.square(predicted).sum(0)
    explained = 1 - np.square(true - predicted).sum(0) / np.square(true).sum(0)
    return Linearity(float(pearson.mean()), float(np.median(slope)), float(np.median(explained)))


def metasmoothness(start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> float:
    """Whether a quantity keeps its direction along a straight line in the space of weights.

    ``sum_j d_j sign(middle_j - start_j) sign(end_j - middle_j) / sum_j d_j`` with
    ``d_j = |end_j - start_j|``: the agreement in sign of two consecutive finite differences,
    weighted by the size of the change.

    Args:
        start: [n] values at some weights w of the examples: outputs, or parameters of the model.
        middle: [n] at w + h v.
        end: [n] at w + 2 h v.

    Returns:
        A number in [-1, 1]; 1 if every value that changes keeps its direction; NaN if nothing
        changes.

    Source: empirical metasmoothness, Engstrom et al. (2025), arXiv 2503.13751, definition 2, there
    for the parameters.
    """
    size = np.abs(end - start)
    signs = np.sign(middle - start) * np.sign(end - middle)
    return float((size * signs).sum() / size.sum()) if size.any() else float("nan")
