"""Whether an answer can be believed: checks that ``dasbench.commands.attribute`` makes.

Two things are known without retraining a model. A training image stands first behind itself; where
it does not, the features are too small or the damping too large for this model. And an experiment
that judged the method has measured how well its scores predict retrained models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dasbench.attribution.self_check import itself, rank
from dasbench.core import tables
from dasbench.data.pictures import shown
from dasbench.errors import UserError

NO_CHECK = "no check: all training images have the same pixels, so each is always on top"


def all_same(images: np.ndarray) -> bool:
    """Whether images [N, H, W, C] have the same pixels: then no check can fail."""
    return bool((images == images[:1]).all())


def check_scores(scores: np.ndarray, damping: float) -> np.ndarray:
    """The scores [N, Q], if they say something.

    Raises:
        UserError: If some are not finite, or all are zero.
    """
    if not np.isfinite(scores).all() or not scores.any():
        what = "not finite" if scores.any() else "all zero"
        raise UserError(
            f"the scores are {what} at damping {damping:g} of the largest eigenvalue; choose a "
            "damping between 1e-6 and 1"
        )
    return scores


def failed(scores: np.ndarray, same: dict[int, np.ndarray]) -> dict[int, int]:
    """Query -> rank of the query itself, for queries that are training images and not on top.

    Args:
        scores: [N, Q].
        same: See ``itself``.
    """
    ranks = {q: rank(scores[:, q], rows) for q, rows in same.items()}
    return {q: place for q, place in ranks.items() if place > 1}


def sentence(failures: int, checked: int, places: Sequence[int]) -> str:
    """What a failed check means: of a few images that ranks are uncertain, of most that all are."""
    listed = ", ".join(map(str, sorted(places)))
    few = failures <= checked / 2
    subject = (
        f"training images does not come out on top of its own query (rank {listed})"
        if failures == 1
        else f"training images do not come out on top of their own query (ranks {listed})"
    )
    return (
        f"failed check: {failures} of {checked} {subject}, so "
        f"{'other ranks are off as well' if few else 'these ranks are mostly noise'}; take more "
        "timesteps or dimensions, or a smaller damping"
    )


def failure(
    images: np.ndarray, queries: np.ndarray, scores: np.ndarray, ranks: Sequence[int]
) -> str | None:
    """The sentence of a failed check: of some training images, and of queries that are some.

    Args:
        images: [N, H, W, C] uint8.
        queries: [Q, H, W, C] uint8.
        scores: [N, Q].
        ranks: Of the training images that were asked about, for themselves.
    """
    same = itself(images, queries)
    places = [*failed(scores, same).values(), *(int(rank) for rank in ranks if rank > 1)]
    return sentence(len(places), len(same) + len(ranks), places) if places else None


def checked(
    images: np.ndarray,
    queries: np.ndarray,
    scores: np.ndarray,
    ranks: Sequence[int],
    names: Sequence[str],
) -> list[str]:
    """Lines about the check of ``failure``; the arguments are its own and the queries' names."""
    if all_same(images):
        return [NO_CHECK]
    same = itself(images, queries)
    lines = [
        f"{shown(names[q])} is a training image and has rank {place} for itself"
        for q, place in failed(scores, same).items()
    ]
    if told := failure(images, queries, scores, ranks):
        return [*lines, told]
    count = len(same) + len(ranks)
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
