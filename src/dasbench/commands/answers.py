"""Whether an answer can be believed: checks that ``dasbench.commands.attribute`` makes.

Two things are known without retraining a model. A training image stands first behind itself; where
it does not, the features are too small or the damping too large for this model. And an experiment
that judged the method has measured how well its scores predict retrained models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dasbench.attribution.self_check import choose, itself, rank
from dasbench.core import tables
from dasbench.data.pictures import shown

CHECKED = 4  # training images that the command asks about beside the user's


@dataclass
class Probes:
    """Training images that are asked about beside the queries.

    Attributes:
        rows: Their positions in the training set.
        scores: [N, len(rows)], once there are scores.
    """

    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: np.ndarray | None = None

    def choose(self, count: int) -> np.ndarray:
        """At most ``CHECKED`` of ``count`` training images, evenly spread."""
        self.rows = choose(count, CHECKED)
        return self.rows


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


def failure(
    images: np.ndarray, queries: np.ndarray, scores: np.ndarray, probes: Probes
) -> str | None:
    """The sentence about a failed check of the probes and of queries that are training images.

    Args:
        images: [N, H, W, C] uint8.
        queries: [Q, H, W, C] uint8.
        scores: [N, Q].
        probes: With their scores.
    """
    places, count = _places(images, queries, scores, probes)
    return sentence(len(places), count, places) if places else None


def checked(
    images: np.ndarray,
    queries: np.ndarray,
    scores: np.ndarray,
    probes: Probes,
    names: Sequence[str],
) -> list[str]:
    """Lines about the check of ``failure``; the arguments are its own and the queries' names."""
    below = failed(scores, itself(images, queries))
    lines = [
        f"{shown(names[q])} is a training image and has rank {place} for itself"
        for q, place in below.items()
    ]
    if told := failure(images, queries, scores, probes):
        return [*lines, told]
    _, count = _places(images, queries, scores, probes)
    return [f"check passed: {count} training images come out on top of their own query"]


def _places(
    images: np.ndarray, queries: np.ndarray, scores: np.ndarray, probes: Probes
) -> tuple[list[int], int]:
    """Ranks of the training images that are not on top of their own query, and how many asked."""
    same = itself(images, queries)
    places, count = list(failed(scores, same).values()), len(same)
    if probes.scores is not None:
        asked = itself(images, images[probes.rows])
        places += failed(probes.scores, asked).values()
        count += len(asked)
    return places, count


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
