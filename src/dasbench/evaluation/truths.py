"""One table of methods and ground truths: the rank of each method under each truth.

A *truth* is one measure by which methods are judged: the LDS of a target, removal, groups, exact
influence. Each has a value for each method, higher is better, and the same value in every resample
of its own queries (and subsets). Resamples of different truths are drawn independently.

Letters: Q queries, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from dasbench.evaluation.bootstrap import Bootstrap

RANK_COLUMNS = ["truth", "source", "method", "value", "rank", "lo", "hi", "methods"]
TAU_COLUMNS = ["a", "source_a", "b", "source_b", "tau", "lo", "hi", "methods"]


class Truth(NamedTuple):
    """Values of the methods under one truth.

    Attributes:
        name: Such as ``loss`` or ``groups``.
        source: The experiment that measured it.
        values: Method -> value.
        drawn: [B, methods], the values in every resample; columns in the order of ``values``.
    """

    name: str
    source: str
    values: pd.Series
    drawn: np.ndarray


def over_queries(
    name: str,
    source: str,
    per_query: pd.DataFrame,
    bootstrap: Bootstrap,
    rng: np.random.Generator,
) -> Truth:
    """A truth that is a mean over queries, which are resampled.

    Args:
        name: Name of the truth.
        source: The experiment that measured it.
        per_query: [Q, methods], the columns are methods; an undefined value (NaN) enters as 0.
        bootstrap: Number of draws.
        rng: Draws the queries.
    """
    known = per_query.fillna(0)
    counts = bootstrap.counts(rng, len(known))
    return Truth(name, source, known.mean(), counts @ known.to_numpy() / len(known))


def ranks(truths: Sequence[Truth], bootstrap: Bootstrap) -> pd.DataFrame:
    """Rank of every method under every truth; 1 is the best, equal values share the mean rank.

    Returns:
        ``RANK_COLUMNS``: the rank among the truth's own methods, with its interval, and their
        number. Percentiles of ranks are wide where methods are close.
    """
    parts = []
    for truth in truths:
        rank = rankdata(-truth.values.to_numpy())
        lo, hi = bootstrap.interval(rank, rankdata(-truth.drawn, axis=1))
        columns = {"method": truth.values.index, "value": truth.values.to_numpy(), "rank": rank}
        part = pd.DataFrame(columns | {"lo": lo, "hi": hi})
        names = {"truth": truth.name, "source": truth.source, "methods": len(rank)}
        parts.append(part.assign(**names))
    return pd.concat(parts, ignore_index=True)[RANK_COLUMNS]


def tau(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between the rows of two matrices.

    Args:
        a: [B, methods].
        b: [B, methods].

    Returns:
        [B] in [-1, 1]; NaN where a row is constant.

    Source: Kendall (1945), tau-b, which allows for ties.
    """
    left, right = np.triu_indices(a.shape[1], k=1)
    signs = [np.sign(x[:, left] - x[:, right]) for x in (a, b)]
    untied = np.prod([np.abs(s).sum(axis=1) for s in signs], axis=0)
    return (signs[0] * signs[1]).sum(axis=1) / np.sqrt(np.where(untied > 0, untied, np.nan))


def agreement(truths: Sequence[Truth], bootstrap: Bootstrap) -> pd.DataFrame:
    """Kendall's tau between every two truths, over the methods that both judge.

    Returns:
        ``TAU_COLUMNS``; pairs with fewer than two common methods are left out. A resample in which
        all methods are equal enters as 0.
    """
    rows = []
    for a, b in combinations(truths, 2):
        both = [method for method in a.values.index if method in b.values.index]
        if len(both) <= 1:
            continue
        places = [t.values.index.get_indexer(both) for t in (a, b)]
        pairs = zip((a, b), places, strict=True)
        values, drawn = zip(
            *((t.values.to_numpy()[None, at], t.drawn[:, at]) for t, at in pairs), strict=True
        )
        estimate = float(np.nan_to_num(tau(*values))[0])
        lo, hi = bootstrap.interval(estimate, np.nan_to_num(tau(*drawn)))
        names = {"a": a.name, "source_a": a.source, "b": b.name, "source_b": b.source}
        rows.append(names | {"tau": estimate, "lo": lo, "hi": hi, "methods": len(both)})
    return pd.DataFrame(rows, columns=TAU_COLUMNS)
