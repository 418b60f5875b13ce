"""The answer to the question which training images stand behind some images.

An *answer* holds everything that a table or a page shows, as plain arrays and words: it needs no
model, no index and no network. ``dasbench.commands.index`` makes answers, and
``dasbench.reports.answer_page`` draws them.

Shapes: N training images, Q queries, T timesteps, K images listed for each query, D decoys.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dasbench.core import arguments

RATE = 0.05  # images with a q-value up to this one stand out


@dataclass(frozen=True)
class Picture:
    """One image as a page names it.

    Attributes:
        name: What the user called it: a path, or "image 12" for an array.
        path: The absolute path of its file, or None.
        label: Its class or prompt in words, or None.
    """

    name: str
    path: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Score:
    """One score of every training image for every query.

    Attributes:
        key: A name of ``dasbench.registry``, such as "das_stepwise" or "pixel_cosine_power".
        title: The score in a few words, for the page.
        explanation: One sentence: what a high value means.
        values: [N, Q] float64, higher = more influential, or more similar.
    """

    key: str
    title: str
    explanation: str
    values: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """How far each training image stands out from decoys: images that the model has not seen.

    Attributes:
        q: [N, Q] q-values in (0, 1], see ``dasbench.attribution.evidence``.
        smallest: [Q], the smallest q-value that one image can reach with these decoys.
        training: [N, Q] scores of the training images that are compared with the decoys': matches,
            or leave-one-out scores, see ``dasbench.attribution.leave_one_out``.
        decoys: [D, Q] scores of the decoys.
        auc: Share of (training image, decoy) pairs in which the training image scores higher, over
            held-out queries; None where there are none. 0.5 if the correction is right.
        sentences: [Q], what the q-values say about each query, in words.
        warning: A sentence that a reader must see, if the AUC is too far from 0.5; else None.
        pooled: Number of held-out images whose decoys' scores the q-values compare with; 0: the
            q-values of each query compare with ``decoys``.
    """

    q: np.ndarray
    smallest: np.ndarray
    training: np.ndarray
    decoys: np.ndarray
    auc: float | None
    sentences: Sequence[str]
    warning: str | None = None
    pooled: int = 0


@dataclass(frozen=True)
class SelfCheck:
    """Training images that were asked about themselves.

    Attributes:
        names: Their names.
        ranks: [len(names)] int, the rank of each in its own answer; 1 is right.
    """

    names: Sequence[str]
    ranks: np.ndarray

    @property
    def share(self) -> float:
        """Share of the images that come out on top of their own answer."""
        return float((self.ranks == 1).mean())


@dataclass(frozen=True)
class Answer:
    """Scores of all training images for some queries, and the evidence for them.

    Attributes:
        main: The score that ranks the images; the first of ``all_scores``.
        others: Scores to compare with: the pixel floor, and CLIP where it is at hand.
        training: [N] names of the training images.
        queries: [Q] names of the queries.
        training_pixels: [N, H, W, C] uint8; may be a mapped file.
        query_pixels: [Q, H, W, C] uint8.
        timesteps: [T] int, ascending noise; empty if the score does not keep timesteps apart.
        by_timestep: [T, N, Q] float, the share of each timestep in the score, or None. The mean
            over T is ``scores``.
        listed: [K] positions of the images with the highest scores for any query, if
            ``by_timestep`` would be too large for the memory; else None.
        listed_by_timestep: [T, K, Q] float, ``by_timestep`` of the ``listed`` images.
        evidence: Comparison with decoys, or None if there are none.
        checks: Training images that were asked about themselves; None if none can fail.
        facts: What was asked of what: label -> value, in order: model, data, settings, hashes,
            versions.
        warnings: Sentences that a reader must see, such as a failed check.
    """

    main: Score
    training: Sequence[Picture]
    queries: Sequence[Picture]
    training_pixels: np.ndarray
    query_pixels: np.ndarray
    others: Sequence[Score] = ()
    timesteps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    by_timestep: np.ndarray | None = None
    listed: np.ndarray | None = None
    listed_by_timestep: np.ndarray | None = None
    evidence: Evidence | None = None
    checks: SelfCheck | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def scores(self) -> np.ndarray:
        """[N, Q] float64, the values of the score that ranks the images."""
        return self.main.values

    @property
    def all_scores(self) -> list[Score]:
        """The score that ranks, then the others."""
        return [self.main, *self.others]

    def order(self, score: Score, query: int, count: int) -> np.ndarray:
        """The ``count`` training images with the highest scores for a query; ties by position."""
        return np.argsort(-score.values[:, query], kind="stable")[:count]

    def ranks(self, score: Score, query: int) -> np.ndarray:
        """[N] rank of each training image in the order of a score for a query; 1 is the highest."""
        return np.argsort(self.order(score, query, len(self.training))) + 1

    def further(self, query: int, count: int) -> np.ndarray:
        """Training images that stand out for a query, but are not among the ``count`` highest.

        They are in the order of their q-values, and of their scores where these are equal.
        """
        if self.evidence is None:
            return np.zeros(0, np.int64)
        q, ranks = self.evidence.q[:, query], self.ranks(self.main, query)
        rows = np.flatnonzero((q <= RATE) & (ranks > count))
        return rows[np.lexsort((ranks[rows], q[rows]))]

    def timesteps_of(self, image: int, query: int) -> np.ndarray | None:
        """[T] shares of the timesteps in a score; None if they are not known for this image."""
        if self.by_timestep is not None:
            return self.by_timestep[:, image, query]
        if self.listed is None or image not in self.listed:
            return None
        return self.listed_by_timestep[:, int(np.flatnonzero(self.listed == image)[0]), query]

    def share(self, score: Score) -> np.ndarray:
        """[N, Q] share of each image in the sum of the absolute scores of its query."""
        sizes = np.abs(score.values)
        total = sizes.sum(axis=0)
        return sizes / np.where(total > 0, total, 1.0)

    def frame(self, top: int = 20) -> pd.DataFrame:
        """One row for each query and each image of its list.

        A list has the ``top`` images with the highest scores, and then all others that stand out.

        Returns:
            Columns query, rank (by the score), image, label, score, share, q_value (if there are
            decoys), and rank_KEY for each other score: the image's rank in that score.

        Raises:
            UserError: If ``top`` is no positive whole number.
        """
        top = arguments.whole("top", top, 1)
        shares, rows = self.share(self.main), []
        for j, query in enumerate(self.queries):
            ranks = self.ranks(self.main, j)
            others = {f"rank_{other.key}": self.ranks(other, j) for other in self.others}
            for i in [*self.order(self.main, j, top), *self.further(j, top)]:
                row = {
                    "query": _text(query.name),
                    "rank": ranks[i],
                    "image": _text(self.training[i].name),
                    "label": self.training[i].label,
                    "score": self.scores[i, j],
                    "share": shares[i, j],
                }
                if self.evidence is not None:
                    row["q_value"] = self.evidence.q[i, j]
                rows.append(row | {name: places[i] for name, places in others.items()})
        return pd.DataFrame(rows)


def _text(name: str) -> str:
    """A file name that UTF-8 can hold; bytes that are no text are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
