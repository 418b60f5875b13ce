"""General influence: does a score name the same training images for every query?

A score that does explains nothing about a single query. ``train_norm`` is the extreme: its lists
are equal. Independent lists, such as those of the control ``random``, are the other end.

Letters: N training examples, Q queries.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dasbench.evaluation import removal

TOP = 10  # images in a query's list


def table(scores: Mapping[str, np.ndarray], ids: np.ndarray, top: int = TOP) -> pd.DataFrame:
    """Count the distinct images among the lists of all queries.

    Args:
        scores: Method -> [N, Q].
        ids: [N], which decide between equal scores.
        top: Images in a list; at most N are taken.

    Returns:
        method, top (length of a list), Q, distinct (different images in all lists), share (of the
        lists that hold the image that most lists hold; 1 / Q if no two lists share an image).
    """
    rows = []
    for method, values in scores.items():
        lists = removal.top_k(values, ids, min(top, len(ids)))  # [Q, top]
        _, counts = np.unique(lists, return_counts=True)
        queries, length = lists.shape
        row = {"method": method, "top": length, "Q": queries, "distinct": len(counts)}
        rows.append(row | {"share": counts.max() / queries})
    return pd.DataFrame(rows)
