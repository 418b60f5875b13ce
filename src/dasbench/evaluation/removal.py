"""Removal: the examples to leave out, and the change of the query after retraining without them.

Letters: N training examples, Q queries, S random sets, B bootstrap draws, k removed examples. The
removal of a method's k highest-scored examples should change the query more than the removal of k
random examples; the *excess* is that difference. The *null arm* retrains on all examples with other
seeds. A change that is not larger than the change of the null arm is noise.
"""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd

from dasbench.evaluation.bootstrap import Bootstrap, Difference

MEASURES = ("loss_change", "image_l2", "embedding_cosine")
SUMMARY_COLUMNS = ["method", "k", "measure", "mean", "excess", "lo", "hi", "queries", "sets"]
ARMS = ("random", "null")  # arms with several sets; every set has a row for every query


def top_k(scores: np.ndarray, ids: np.ndarray, k: int) -> np.ndarray:
    """The k highest-scored training examples of each query.

    Args:
        scores: [N, Q]; -inf marks an example that is not a candidate and ranks last.
        ids: [N] distinct integers; equal scores rank in ascending order of id, not of position.
        k: 1 … N.

    Returns:
        [Q, k] int64 positions on the first axis of ``scores``, highest first.

    Raises:
        ValueError: If k is out of range, a score is NaN, or ids are repeated or not N.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(ids) != len(scores) or len(np.unique(ids)) != len(ids):
        raise ValueError(
            f"{len(np.unique(ids))} distinct ids for {len(scores)} examples; give each its own id"
        )
    if not 1 <= k <= len(scores):
        raise ValueError(
            f"k is {k}, expected 1 to {len(scores)} (the number of training examples); lower k"
        )
    if np.isnan(scores).any():
        raise ValueError(
            "scores contain NaN, which has no rank; score every example of these queries"
        )
    return np.stack([np.lexsort((ids, -column))[:k] for column in scores.T])


def random_sets(rng: np.random.Generator, examples: int, k: int, sets: int) -> np.ndarray:
    """Sets of k distinct training examples, drawn uniformly and shared by all queries.

    Args:
        rng: Generator keyed by the caller.
        examples: N.
        k: 1 … N.
        sets: S.

    Returns:
        [S, k] int64 positions, ascending in each set.

    Raises:
        ValueError: If k is out of range.
    """
    if not 1 <= k <= examples:
        raise ValueError(
            f"k is {k}, expected 1 to {examples} (the number of training examples); lower k"
        )
    return np.stack([np.sort(rng.choice(examples, size=k, replace=False)) for _ in range(sets)])


def image_l2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of each pair of images, clipped to [-1, 1] as for display.

    Args:
        a: [Q, ...].
        b: [Q, ...], the same shape.

    Returns:
        [Q] float64, in units of one channel value.

    Raises:
        ValueError: If the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"images have shapes {a.shape} and {b.shape}, expected equal ones; use one size"
        )
    difference = np.clip(a, -1, 1).astype(np.float64) - np.clip(b, -1, 1)
    return np.sqrt((difference.reshape(len(a), -1) ** 2).sum(axis=1))


def summarise(
    per_query: pd.DataFrame, rng: np.random.Generator, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Mean change per method, k and measure, and its excess over random removals of the same k.

    The interval is for the excess. Queries, random sets and sets of the null arm are resampled
    independently, with the same draws for all methods. A set is resampled as a whole, because its
    single retrained model serves all queries.

    Args:
        per_query: Columns method, k, query, set and the measures. The methods ``random`` (each k)
            and ``null`` (k empty or 0) have every query in every set; other methods have one row
            per k and query.
        rng: Generator keyed by the caller.
        bootstrap: Number of draws and level of the intervals.

    Returns:
        method, k, measure, mean, excess, lo, hi, queries, sets (number of random sets; for ``null``
        the number of sets of the null arm). ``random`` has a mean but no excess. ``null`` has a row
        for each k, with its excess over the random sets of that k. A measure without any value has
        no rows.

    Raises:
        ValueError: If there are no random rows for a k, or a method lacks a query, or a row is
            repeated or half empty.
    """
    empty = per_query["k"].isna() | (per_query["method"] == "null")
    frame = per_query.assign(
        k=per_query["k"].mask(empty, 0).astype(int), set=per_query["set"].fillna(0).astype(int)
    )
    if frame.duplicated(["method", "k", "query", "set"]).any():
        raise ValueError(
            "a row of method, k, query and set is repeated; summarise each removal once"
        )
    groups = {
        (str(method), int(k)): rows
        for (method, k), rows in frame.groupby(["method", "k"], sort=True)
    }
    compared = {k for method, k in groups if method != "null"}
    if missing := {k for k in compared if ("random", k) not in groups}:
        raise ValueError(
            f"no random removals for k = {sorted(missing)}; every k needs sets of method 'random'"
        )
    queries = np.sort(frame["query"].unique())
    weights = _weights(groups, len(queries), rng, bootstrap)
    rows = []
    for measure in [name for name in MEASURES if name in frame and frame[name].notna().any()]:
        values = {key: _matrix(part, measure, key, queries) for key, part in groups.items()}
        means = {key: matrix.mean() for key, matrix in values.items()}
        weighted = {key: (weights[key] @ values[key]) * weights["queries"] for key in values}
        drawn = {key: product.sum(axis=1) for key, product in weighted.items()}  # [B]
        for random in [key for key in values if key[0] == "random"]:
            k, sets = random[1], len(values[random])
            blank = [np.nan] * 3
            rows.append([*random, measure, means[random], *blank, len(queries), sets])
            for key in [key for key in values if key[0] == "null" or key[1] == k]:
                if key == random:
                    continue
                excess = means[key] - means[random]
                ends = bootstrap.interval(excess, drawn[key] - drawn[random])
                count = len(values[key]) if key[0] == "null" else sets
                rows.append([key[0], k, measure, means[key], excess, *ends, len(queries), count])
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def _weights(
    groups: Mapping[tuple[str, int], pd.DataFrame],
    queries: int,
    rng: np.random.Generator,
    bootstrap: Bootstrap,
) -> dict:
    """Resampled weights: "queries" -> [B, Q]; (method, k) -> [B, sets].

    A method has a single set, which uses no randomness: a further method does not change the
    intervals of the others.
    """
    items = {"queries": queries} | {key: part["set"].nunique() for key, part in groups.items()}
    return {key: counts / items[key] for key, counts in bootstrap.resample(rng, items).items()}


def compare(
    per_query: pd.DataFrame,
    base: str,
    rng: np.random.Generator,
    bootstrap: Bootstrap,
    measures: tuple[str, ...] = MEASURES[:2],
) -> pd.DataFrame:
    """Paired differences between every method's removals and those of one method.

    The interval resamples the queries, with the same draws in every row.

    Args:
        per_query: As for ``summarise``; rows of ARMS are left out.
        base: The method that the others are compared with.
        rng: Generator keyed by the caller.
        bootstrap: Number of draws and level of the intervals.
        measures: Columns to compare.

    Returns:
        a, b (the base), k, measure, difference (mean over queries), lo, hi, detectable (see
        ``Bootstrap.difference``).
    """
    table = per_query[~per_query["method"].isin(ARMS)]
    counts = bootstrap.counts(rng, table["query"].nunique())
    rows = []
    for measure, (k, removed) in product(measures, table.groupby("k")):
        values = removed.pivot_table(index="query", columns="method", values=measure)
        means, drawn = values.mean(), counts @ values / len(values)  # of each method
        for name in values.columns.drop(base):
            pair = [name, base]
            paired = bootstrap.difference(tuple(means[pair]), *drawn[pair].to_numpy().T)
            rows.append([*pair, int(k), measure, *paired])
    return pd.DataFrame(rows, columns=["a", "b", "k", "measure", *Difference._fields])


def _matrix(
    part: pd.DataFrame, measure: str, key: tuple[str, int], queries: np.ndarray
) -> np.ndarray:
    """Values [sets, Q] of one method and k; raises ValueError if a value is missing."""
    matrix = (
        part.pivot(index="set", columns="query", values=measure)
        .reindex(columns=queries)
        .to_numpy(np.float64)
    )
    if key[0] not in ARMS and len(matrix) > 1:
        raise ValueError(
            f"method {key[0]!r} has {len(matrix)} sets; only 'random' and 'null' may have sets"
        )
    if not np.isfinite(matrix).all():
        raise ValueError(
            f"{measure} of {key[0]!r} at k = {key[1]} has gaps; finish its removals first"
        )
    return matrix
