"""The training images with the highest and the lowest scores for each query, by every method.

A report lets its reader choose any query and any method, so it needs these lists for all of them,
but not the scores of all training images.

Shapes: N training images, Q queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

HIGHEST, LOWEST = 10, 5  # listed training images
QUERIES = 100  # of each kind, at most


def table(scores: np.ndarray, ids: np.ndarray, queries: Sequence[int]) -> pd.DataFrame:
    """List the ends of one method's ranking, for some queries.

    Equal scores are in the order of ``ids``, as in the removal experiment.

    Args:
        scores: [N, Q] float32, higher is more helpful; -inf for images that a method does not
            score, as many for each query. They are left out.
        ids: [N], unique.
        queries: Positions along Q.

    Returns:
        Columns ``query``; ``place``, 1 for the highest score, 2 for the next, -1 for the lowest;
        ``row``, the position of the training image along N; ``score``. Per query the highest come
        first, from the first to the last. No image is listed twice: with few images, fewer of the
        lowest are listed.
    """
    count = int(np.isfinite(scores[:, list(queries)]).sum(axis=0).min()) if len(queries) else 0
    highest = min(HIGHEST, count)
    lowest = min(LOWEST, count - highest)
    places = np.concatenate([np.arange(1, highest + 1), np.arange(-lowest, 0)])
    orders = (np.lexsort((ids, -scores[:, query]))[:count] for query in queries)
    rows = [order[places - (places > 0)] for order in orders]
    columns = {
        "query": np.repeat(np.asarray(queries, np.int32), len(places)),
        "place": np.tile(places.astype(np.int8), len(queries)),
        "row": np.concatenate(rows).astype(np.int32) if rows else np.empty(0, np.int32),
    }
    listed = pd.DataFrame(columns)
    listed["score"] = scores[listed["row"], listed["query"]]
    return listed


def fitting(listed: pd.DataFrame, images: int) -> pd.DataFrame:
    """Keep as many queries of each kind as a page has room for.

    Args:
        listed: Rows of ``table`` with the columns ``queries`` (the kind) and ``method``.
        images: Training images that the page has room for.

    Returns:
        The rows of the first n queries of each kind, where n is the largest number for which they
        hold at most ``images`` different training images; at least 1.
    """
    turn = listed.groupby("queries")["query"].transform(lambda column: pd.factorize(column)[0])
    first = listed.assign(turn=turn).groupby("row")["turn"].min()  # turn in which an image is new
    total = np.cumsum(np.bincount(first, minlength=int(turn.max()) + 1))
    n = max(int((total <= images).sum()), 1)
    return listed[turn < n]
