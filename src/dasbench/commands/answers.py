"""Whether an answer can be believed: checks that ``dasbench.commands.attribute`` makes.

Two things are known without retraining a model. A training image stands first behind itself; where
it does not, the features are too small or the damping too large for this model. And an experiment
that judged the method has measured how well its scores predict retrained models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dasbench.core import tables
from dasbench.data.pictures import shown


def itself(images: np.ndarray, queries: np.ndarray) -> dict[int, np.ndarray]:
    """Query -> the training images with the same pixels; queries without one are left out.

    Args:
        images: [N, H, W, C] uint8.
        queries: [Q, H, W, C] uint8.
    """
    places: dict[bytes, list[int]] = {}
    wanted = {query.tobytes() for query in queries}
    for i, image in enumerate(images):
        if (key := image.tobytes()) in wanted:
            places.setdefault(key, []).append(i)
    found = {q: places.get(query.tobytes()) for q, query in enumerate(queries)}
    return {q: np.asarray(rows) for q, rows in found.items() if rows}


def rank(scores: np.ndarray, rows: np.ndarray) -> int:
    """Rank of the best of some training images, 1 for the top; [N] scores of one query.

    Identical training images share their rank. A score that is no number is above all others.
    """
    return 1 + int((~(np.delete(scores, rows) < scores[rows].max())).sum())


def failed(scores: np.ndarray, same: dict[int, np.ndarray]) -> dict[int, int]:
    """Query -> rank of the query itself, for queries that are training images and not on top.

    Args:
        scores: [N, Q].
        same: See ``itself``.
    """
    ranks = {q: rank(scores[:, q], rows) for q, rows in same.items()}
    return {q: place for q, place in ranks.items() if place > 1}


def sentence(failures: int, checked: int, places: Sequence[int]) -> str:
    """What a failed check means."""
    listed = ", ".join(map(str, sorted(places)))
    return (
        f"failed check: {failures} of {checked} training images do not come out on top of their "
        f"own query (ranks {listed}), so these ranks are mostly noise; take more timesteps or "
        "dimensions, or a smaller damping"
    )


def checked(
    images: np.ndarray,
    queries: np.ndarray,
    scores: np.ndarray,
    ranks: Sequence[int],
    names: Sequence[str],
) -> list[str]:
    """Lines about the check: of the index, and of queries that are training images.

    Args:
        images: [N, H, W, C] uint8.
        queries: [Q, H, W, C] uint8.
        scores: [N, Q].
        ranks: Of the training images that the index was asked about, for themselves.
        names: Of the queries.
    """
    same = itself(images, queries)
    below = failed(scores, same)
    lines = [
        f"{shown(names[q])} is a training image and has rank {place} for itself"
        for q, place in below.items()
    ]
    places = [*below.values(), *(rank for rank in ranks if rank > 1)]
    count = len(same) + len(ranks)
    if places:
        return [*lines, sentence(len(places), count, places)]
    return [f"check passed: {count} training images come out on top of their own query"]


def measured(folder: Path, method: str, transform: str) -> str:
    """What an experiment measured of a method for generated images, in one sentence.

    Args:
        folder: results/E.
        method: Name of the method.
        transform: Its transform.
    """
    path = folder / "lds" / "summary.csv"
    if not path.is_file():
        return f"not judged: {folder.name} has no LDS, so how good these scores are is unknown"
    table = tables.load_table(path)
    rows = table[
        (table["method"] == method)
        & (table["transform"] == transform)
        & (table["queries"] == "gen")
        & (table["target"] == "loss")
        & (table["selection"] == "held_out")
    ]
    rows = rows[np.isfinite(rows["lds"])]
    if rows.empty:
        return f"not judged: {folder.name} has no LDS of {method} for generated images"
    lds, low, high = (100 * float(rows[key].iloc[0]) for key in ("lds", "lo", "hi"))
    numbers = f"LDS {lds:.1f} % [{low:.1f}, {high:.1f}] for generated images in {folder.name}"
    if low > 0:
        return f"judged: {numbers}"
    return (
        f"warning: {numbers}, which is no better than chance: by the experiment's own numbers this "
        "answer is noise"
    )
