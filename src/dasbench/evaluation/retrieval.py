"""Judge scores as a search: are the training images that an answer should contain ranked first?

No model is retrained. ``dasbench.evaluation.questions`` has the questions and what they ask for.
An answer is the list of all N training images, the highest score first. ``judge`` breaks ties at
random: marked images and copies have places of their own among the training images.

Letters: N training images, n questions, R relevant images of a question, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.questions import Questions

FLOOR = "floor"


class Measures(NamedTuple):
    """How well the relevant images come out, one number for each question.

    Attributes:
        first: 1 if the first image of the answer is relevant, else 0.
        share: Share of relevant images among the first ``top``.
        recall: Share of the R relevant images among the first R.
        precision: Average precision: the mean, over the relevant images, of the share of relevant
            images down to the place of this one.
    """

    first: np.ndarray
    share: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


def measure(scores: np.ndarray, relevant: np.ndarray, top: int) -> Measures:
    """Measure answers.

    Args:
        scores: [N, n], higher first, ties by position.
        relevant: [N, n] bool, at least one in each column.
        top: How many images of an answer a reader looks at; at most N.

    Raises:
        ValueError: If a question has no relevant image, or the shapes differ.
    """
    if scores.shape != relevant.shape or not relevant.any(axis=0).all():
        raise ValueError(
            f"scores {scores.shape} and relevant {relevant.shape}: expected equal shapes [N, n] "
            "and a relevant image for each question; leave the other questions out"
        )
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(relevant, order, axis=0)  # [N, n], in the order of the answer
    found, places = hits.cumsum(axis=0), np.arange(1, len(hits) + 1)[:, None]
    count = relevant.sum(axis=0)  # [n], R
    return Measures(
        hits[0].astype(np.float64),
        hits[:top].mean(axis=0),
        found[count - 1, np.arange(len(count))] / count,
        (hits * found / places).sum(axis=0) / count,
    )


def chance(relevant: np.ndarray) -> Measures:
    """Expected measures of answers in random order.

    Args:
        relevant: [N, n] bool.

    Returns:
        For the average precision ``(H + (R - 1) (N - H) / (N - 1)) / N`` with H the N-th harmonic
        number: an image at place k is relevant with probability R / N, and then so are (k - 1)
        (R - 1) / (N - 1) of those before it. For the others R / N. N is 2 or more.
    """
    n = len(relevant)
    count = relevant.sum(axis=0)
    harmonic = (1 / np.arange(1, n + 1)).sum()
    precision = (harmonic + (count - 1) * (n - harmonic) / (n - 1)) / n
    return Measures(count / n, count / n, count / n, precision)


def judge(
    scores: Mapping[str, np.ndarray],
    questions: Questions,
    top: int,
    bootstrap: Bootstrap,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Measure every method on every group of questions.

    Args:
        scores: Method -> [N, Q], under its own transform.
        questions: Some questions.
        top: See ``measure``.
        bootstrap: Resamples the questions of a group.
        rng: Draws them, and one order of the training images for ties, once for all methods.

    Returns:
        group, method, questions, relevant (mean R); each measure with its interval (``_lo``,
        ``_hi``) and its expectation by chance (``_chance``); ``over_floor``, the paired difference
        of the average precision to that of the method ``floor``, with its interval, NaN without
        a floor. No rows without questions.
    """
    rows, shuffled = [], rng.permutation(len(questions.relevant))
    for group in dict.fromkeys(questions.groups):
        columns = np.flatnonzero(questions.groups == group)
        relevant, asked = questions.relevant[shuffled][:, columns], questions.queries[columns]
        drawn = bootstrap.counts(rng, len(columns)) / len(columns)  # [B, n]
        expected = chance(relevant)._asdict()
        measured = {
            method: measure(values[shuffled][:, asked], relevant, top)
            for method, values in scores.items()
        }
        floor = measured[FLOOR].precision if FLOOR in measured else np.full(len(columns), np.nan)
        for method, found in measured.items():
            row = {"group": group, "method": method, "questions": len(columns)}
            row["relevant"] = relevant.sum(axis=0).mean()
            shown = found._asdict() | {"over_floor": found.precision - floor}
            for name, each in shown.items():
                lo, hi = bootstrap.interval(each.mean(), drawn @ each)
                row |= {name: each.mean(), f"{name}_lo": lo, f"{name}_hi": hi}
                if name in expected:
                    row[f"{name}_chance"] = expected[name].mean()
            rows.append(row)
    return pd.DataFrame(rows)


def credit(
    copied: Mapping[str, np.ndarray],
    once: Mapping[str, np.ndarray],
    groups: np.ndarray,
    bootstrap: Bootstrap,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """How much score all copies of an image get together, compared with the image standing once.

    ``credit = sum over images of (sum over copies of the score) / sum over images of the score of
    the single image``, where the single image is scored for a model trained without copies. Credit
    1 means that the copies split what the single image gets; credit c, that each of c copies gets
    as much. The group of images that stand once in both shows what the other model alone changes.

    Args:
        copied: Method -> [n], the sum of the scores of all copies.
        once: Method -> [n], the score of the single image for the same query.
        groups: [n] names of groups.
        bootstrap: Resamples the images of a group.
        rng: Draws them, once for all methods.

    Returns:
        group, method, images, credit, lo, hi; NaN where the single images have no score in sum.
    """
    rows = []
    for group in dict.fromkeys(groups):
        inside = np.flatnonzero(groups == group)
        drawn = bootstrap.counts(rng, len(inside))
        for method in copied:
            together, alone = copied[method][inside], once[method][inside]
            ratio = _ratio(together.sum(), alone.sum())
            lo, hi = bootstrap.interval(ratio, _ratio(drawn @ together, drawn @ alone))
            row = {"group": group, "method": method, "images": len(inside)}
            rows.append(row | {"credit": float(ratio), "lo": lo, "hi": hi})
    return pd.DataFrame(rows)


def _ratio(above: np.ndarray | float, below: np.ndarray | float) -> np.ndarray:
    """A quotient; NaN where the divisor is 0."""
    divisor = np.asarray(below, np.float64)
    return np.asarray(above, np.float64) / np.where(divisor == 0, np.nan, divisor)
