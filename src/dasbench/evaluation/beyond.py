"""The partial LDS: what a score knows beyond predictions that are held fixed.

A score can reach a high LDS because similar images help each other, which a *floor* knows without a
model. The partial LDS of a query is the rank correlation over subsets of the method's predictions m
and the outcome o, given the predictions f of the floor (``statistics.partial``). Above 0, the score
knows something that this floor does not, which may be no more than a better similarity. So the
partial LDS given ``class_match`` stands beside it.

It is undefined where f determines m or o. An undefined value enters the mean as 0 and is counted.

Letters: M subset models, Q queries, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from dasbench.evaluation import statistics
from dasbench.evaluation.bootstrap import Draws
from dasbench.evaluation.statistics import ResampledRanks

# predictions that are held fixed -> the column of their partial LDS; _lo, _hi and _undefined follow
GIVEN = {"floor": "partial", "class_match": "partial_class"}
COLUMNS = [
    name
    for column in GIVEN.values()
    for name in (column, *(f"{column}_{x}" for x in ("lo", "hi", "undefined")))
]


class Target(Protocol):
    """Outputs of one target; see ``lds.Truth``."""

    mean: np.ndarray
    ranks: ResampledRanks


class Given(NamedTuple):
    """Predictions that are held fixed, compared with the outputs of every target.

    Attributes:
        predictions: [M, Q].
        ranks: Of the predictions, in every resample.
        outcome: target -> [Q] rank correlation with its outputs.
        drawn: target -> [B, Q], the same in every resample.
    """

    predictions: np.ndarray
    ranks: ResampledRanks
    outcome: dict[str, np.ndarray]
    drawn: dict[str, np.ndarray]


class Partial(NamedTuple):
    """The partial LDS of one method at one point.

    Attributes:
        per_query: [Q], given the floor; NaN where undefined.
        columns: Value of each of ``COLUMNS``.
    """

    per_query: np.ndarray
    columns: dict[str, Any]


def given(
    predictions: Mapping[str, np.ndarray], targets: Mapping[str, Target], draws: Draws
) -> dict[str, Given]:
    """Compare predictions that are held fixed with the outputs of every target.

    Args:
        predictions: Name of ``GIVEN`` -> [M, Q].
        targets: target -> its outputs.
        draws: The shared bootstrap draws.
    """
    fixed = {}
    for name, array in predictions.items():
        outcome = {t: statistics.spearman(array, target.mean) for t, target in targets.items()}
        drawn = {t: target.ranks.correlate(array) for t, target in targets.items()}
        fixed[name] = Given(array, ResampledRanks(array, draws.subsets), outcome, drawn)
    return fixed


def judge(
    predictions: np.ndarray,
    outcome: np.ndarray,
    drawn: Mapping[str, np.ndarray],
    target: str,
    fixed: Mapping[str, Given],
    draws: Draws,
) -> Partial:
    """The partial LDS of one method at one point, on one target.

    Args:
        predictions: [M, Q] of the method.
        outcome: [Q] its LDS.
        drawn: target or name in ``fixed`` -> [B, Q] its rank correlation with these outputs or
            predictions in every resample.
        target: The target.
        fixed: From ``given``.
        draws: The shared bootstrap draws.
    """
    per_query = np.full(len(outcome), np.nan)
    columns: dict[str, Any] = dict.fromkeys(COLUMNS, np.nan)
    for name, one in fixed.items():
        similar = statistics.spearman(predictions, one.predictions)
        values = statistics.partial(outcome, similar, one.outcome[target])
        resampled = draws.mean(statistics.partial(drawn[target], drawn[name], one.drawn[target]))
        mean, column = float(np.nan_to_num(values).mean()), GIVEN[name]
        lo, hi = draws.bootstrap.interval(mean, resampled)
        columns |= {column: mean, f"{column}_lo": float(lo), f"{column}_hi": float(hi)}
        columns[f"{column}_undefined"] = int(np.isnan(values).sum())
        if column == "partial":
            per_query = values
    return Partial(per_query, columns)
