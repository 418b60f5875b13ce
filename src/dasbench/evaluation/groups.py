"""Ground truth of groups: the change of a query without all training images of one label.

A *group* is all training images with one label: a class, a photograph, a style. Its model is
trained without the group, with a seed that a model of all images shares. The *change* of a query is
the output of the model of all images minus that of the group's model: positive if the group helped
the query. The predicted change is the sum of the group's scores. The *null* is a second model of
all images with another seed, in the place of a group.

Class-conditional similarity names the query's own class, and is nearly always right. So rankings
are judged in two *scopes*: ``all`` groups, and the ``others``, without the query's own group.

Letters: N training examples, G groups, Q queries, S seeds, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from dasbench.evaluation import statistics
from dasbench.evaluation.bootstrap import Bootstrap, Difference

SCOPES = ("all", "others")
TOP = 3  # groups that NDCG looks at
KEY = ["queries", "target", "scope", "measure"]
PER_QUERY_COLUMNS = ["method", *KEY, "query", "value"]
SUMMARY_COLUMNS = ["method", *KEY, "value", "lo", "hi", "undefined", "groups", "Q"]


def changes(outputs: np.ndarray) -> np.ndarray:
    """Change of every query without each group, seed by seed.

    Args:
        outputs: [S, 1 + G, Q], higher = better for the query; first the model of all images.

    Returns:
        [S, G, Q] float64, positive where the group helped the query.
    """
    outputs = outputs.astype(np.float64)
    return outputs[:, :1] - outputs[:, 1:]


def in_scope(values: np.ndarray, own: np.ndarray, scope: str) -> np.ndarray:
    """The groups of a scope, and the queries that it judges.

    Args:
        values: [G, Q].
        own: [G, Q] bool, True at the query's own group; a query has one or none.
        scope: ``all``, or ``others``: without the own group, for the queries that have one.

    Returns:
        [G, Q], or [G - 1, Q'].
    """
    if scope == "all":
        return values
    has = own.any(axis=0)
    return values[:, has].T[~own[:, has].T].reshape(has.sum(), len(values) - 1).T


def _scopes(own: np.ndarray) -> tuple[str, ...]:
    """The scopes with queries; among few of many labels, no query may have its own group."""
    return SCOPES if own.any() else SCOPES[:1]


def ndcg(predicted: np.ndarray, change: np.ndarray, top: int = TOP) -> np.ndarray:
    """Normalised discounted cumulative gain of the groups with the highest predictions.

    The gain of a group is its change minus the smallest change of the query: a gain must not be
    negative, and without groups other than its own many a query loses nothing. The value is the
    expectation over random orders of groups with equal predictions; 1 is the true order.

    Args:
        predicted: [G, Q].
        change: [G, Q].
        top: Groups that count.

    Returns:
        [Q] in [0, 1]; NaN for a query whose changes are all equal.

    Source: Järvelin and Kekäläinen (2002); ties: McSherry and Najork (2008).
    """
    gain = change - change.min(axis=0)
    discount = 1 / np.log2(np.arange(2, min(top, len(gain)) + 2))
    best = discount @ -np.sort(-gain, axis=0)[: len(discount)]
    reached = np.empty(gain.shape[1])
    for q, (of_query, values) in enumerate(zip(gain.T, predicted.T, strict=True)):
        _, rank, count = np.unique(-values, return_inverse=True, return_counts=True)
        mean = np.bincount(rank, of_query) / count  # of groups with equal predictions
        reached[q] = discount @ mean[np.sort(rank)][: len(discount)]
    return reached / np.where(best > 0, best, np.nan)


def top1(predicted: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Whether the highest prediction names the group with the largest change.

    Args:
        predicted: [G, Q].
        change: [G, Q].

    Returns:
        [Q] in [0, 1]: the probability, if one of the groups with the highest prediction is drawn.
    """
    first = predicted == predicted.max(axis=0)
    return first[change.argmax(axis=0), np.arange(first.shape[1])] / first.sum(axis=0)


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "spearman": statistics.spearman,
    "ndcg": ndcg,
    "top1": top1,
}


def judge(predicted: np.ndarray, change: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    """Compare the predictions of one method with the changes, query by query.

    Args:
        predicted: [G, Q], sums of scores.
        change: [G, Q], the mean over seeds.
        own: [G, Q] bool, see ``in_scope``.

    Returns:
        scope, measure, query (position in Q), value; NaN where it is undefined. No rows of the
        scope ``others`` if no query has its own group.
    """
    parts = []
    for scope in _scopes(own):
        pair = [in_scope(values, own, scope) for values in (predicted, change)]
        queries = np.flatnonzero(own.any(axis=0)) if scope == "others" else np.arange(own.shape[1])
        for measure, compute in MEASURES.items():
            columns = {"query": queries, "value": compute(*pair)}
            parts.append(pd.DataFrame(columns).assign(scope=scope, measure=measure))
    return pd.concat(parts, ignore_index=True)


def _cells(per_query: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each kind of query, target, scope and measure, with its values: query -> method."""
    for names, rows in per_query.groupby(KEY, sort=False):
        values = rows.pivot(index="query", columns="method", values="value")
        yield dict(zip(KEY, names, strict=True)), values[rows["method"].unique()]


def summarise(
    per_query: pd.DataFrame, groups: int, bootstrap: Bootstrap, rng: Callable[[str], Any]
) -> pd.DataFrame:
    """Mean of every measure over queries, with intervals; an undefined value enters as 0.

    Args:
        per_query: ``PER_QUERY_COLUMNS``.
        groups: G.
        bootstrap: Resamples the queries, with the same draws for all methods.
        rng: Kind of query -> generator of its draws.

    Returns:
        ``SUMMARY_COLUMNS``, a row for each method, kind of query, target, scope and measure.
    """
    rows = []
    for names, values in _cells(per_query):
        drawn = bootstrap.counts(rng(names["queries"]), len(values)) / len(values)  # [B, Q]
        known = values.fillna(0).to_numpy()
        ends = bootstrap.interval(known.mean(0), drawn @ known)
        size = {"groups": groups - (names["scope"] == "others"), "Q": len(values)}
        for method, value, lo, hi, lost in zip(
            values, known.mean(0), *ends, values.isna().sum(), strict=True
        ):
            row = {"method": method, **names, "value": value, "lo": lo, "hi": hi}
            rows.append(row | {"undefined": lost} | size)
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def compare(
    per_query: pd.DataFrame, base: str, bootstrap: Bootstrap, rng: Callable[[str], Any]
) -> pd.DataFrame:
    """Paired differences between every method and one method, on the draws of ``summarise``.

    Args:
        per_query: ``PER_QUERY_COLUMNS``.
        base: The method that the others are compared with, such as ``floor``.
        bootstrap: Resamples the queries.
        rng: Kind of query -> generator of its draws.

    Returns:
        a, b (the base), queries, target, scope, measure, difference, lo, hi, detectable.
    """
    rows = []
    for names, values in _cells(per_query):
        if base not in values:  # it does not apply to this kind of query
            continue
        drawn = bootstrap.counts(rng(names["queries"]), len(values)) / len(values)
        known = values.fillna(0)
        resampled = drawn @ known
        for method in known.columns.drop(base):
            means = known[method].mean(), known[base].mean()
            pair = (resampled[name].to_numpy() for name in (method, base))
            difference = bootstrap.difference(means, *pair)
            rows.append({"a": method, "b": base, **names, **difference._asdict()})
    return pd.DataFrame(rows, columns=["a", "b", *KEY, *Difference._fields])


def noise(
    change: np.ndarray,
    null: np.ndarray,
    own: np.ndarray,
    bootstrap: Bootstrap,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """How far two seeds agree on the order of the groups, and the size of changes and of the null.

    Args:
        change: [S, G, Q].
        null: [S, Q], changes of the null.
        own: [G, Q] bool, see ``in_scope``.
        bootstrap: Resamples the queries.
        rng: Draws them.

    Returns:
        A row for each scope: scope, agreement (mean Spearman correlation of two seeds), ceiling
        (the Spearman correlation of a perfect predictor with the mean over seeds), lo, hi,
        change and null (mean absolute values; the change is a mean over seeds, the null is not),
        groups, S, Q.
    """
    rows, seeds = [], len(change)
    state = rng.bit_generator.state
    for scope in _scopes(own):
        by_seed = [in_scope(values, own, scope) for values in change]
        pairs = [np.nan_to_num(statistics.spearman(a, b)) for a, b in combinations(by_seed, 2)]
        agreement = np.mean(pairs, axis=0)  # [Q]
        rng.bit_generator.state = state  # equal draws for equal numbers of queries
        drawn = bootstrap.counts(rng, len(agreement)) @ agreement / len(agreement)
        ceilings = [
            statistics.ceiling(statistics.spearman_brown(r, seeds))
            for r in (agreement.mean(), drawn)
        ]
        ends = bootstrap.interval(*ceilings)
        row = {"scope": scope, "agreement": agreement.mean(), "ceiling": float(ceilings[0])}
        row |= dict(zip(("lo", "hi"), map(float, ends), strict=True))
        sizes = {"change": np.abs(np.mean(by_seed, axis=0)).mean(), "null": np.abs(null).mean()}
        rows.append(row | sizes | {"groups": len(by_seed[0]), "S": seeds, "Q": len(agreement)})
    return pd.DataFrame(rows)
