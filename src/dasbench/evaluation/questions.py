"""What an answer should contain: the known truths that need no retrained model.

A *question* is a query together with the training images that its answer should contain, the
*relevant* ones. Three sources of questions:

* ``same_label``: a held-out query asks for the training images with its label;
* ``same_mark``: a query that shows a mark asks for the training images that have it;
* ``copies``: of the queries, the one that is most like an image asks for all copies of that image.

Letters: N training images, Q queries, n questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np

from dasbench.attribution import candidates
from dasbench.core.artifacts import Examples


class Questions(NamedTuple):
    """Questions with at least one relevant training image each.

    Attributes:
        queries: [n] int64, columns of the scores.
        relevant: [N, n] bool.
        groups: [n] names of the groups that the tables keep apart.
    """

    queries: np.ndarray
    relevant: np.ndarray
    groups: np.ndarray


def _questions(queries: Sequence, relevant: np.ndarray, groups: Sequence[str]) -> Questions:
    """Leave out questions without an answer."""
    kept = relevant.any(axis=0)
    names = np.asarray(groups, dtype=str)
    return Questions(np.asarray(queries, dtype=np.int64)[kept], relevant[:, kept], names[kept])


def ask(
    truth: str,
    module: ModuleType,
    train: Examples,
    kind: str,
    images: np.ndarray,
    labels: np.ndarray,
    among: Sequence[int],
) -> Questions:
    """The questions of a truth about the queries of one kind.

    Args:
        truth: labels, marks or copies.
        module: Module of the data set; ``digits_marked`` knows the marks, ``digits_repeated`` the
            copies.
        train: The training images.
        kind: "val" or "gen".
        images: [Q, C, H, W] queries in [-1, 1].
        labels: [Q] labels of the queries.
        among: Positions of the queries that may be asked.
    """
    if truth == "labels":
        return same_label(train.labels, labels, among)
    if truth == "marks":
        known = np.isin(labels, module.CLASSES)
        groups = ["any class"] * len(labels)
        if kind == "val":
            groups = ["class with marks" if each else "class without marks" for each in known]
        return same_mark(module.is_marked(train.ids), module.shows_mark(images), groups, among)
    originals, x = module.digit_of(train.ids), candidates.pixels(train.images)
    return copies(originals, x, images, list(module.asked_about()), among)


def same_label(train: np.ndarray, labels: np.ndarray, queries: Sequence[int]) -> Questions:
    """Ask for the training images with the query's label.

    Args:
        train: [N] labels of the training images.
        labels: [Q] labels of all queries.
        queries: Positions of the queries to ask.
    """
    asked = np.asarray(queries, dtype=np.int64)
    return _questions(asked, train[:, None] == labels[asked], ["same label"] * len(asked))


def same_mark(
    marked: np.ndarray, shown: np.ndarray, groups: Sequence[str], queries: Sequence[int]
) -> Questions:
    """Ask for the training images with the mark.

    Args:
        marked: [N] bool, training images that have the mark.
        shown: [Q] bool, queries that show it; the others are not asked.
        groups: [Q] names of groups.
        queries: Positions of the queries to ask.
    """
    asked = [q for q in queries if shown[q]]
    relevant = np.repeat(marked[:, None], len(asked), axis=1)
    return _questions(asked, relevant, [groups[q] for q in asked])


def copies(
    digits: np.ndarray,
    train: np.ndarray,
    queries: np.ndarray,
    asked_about: Sequence[int],
    among: Sequence[int],
) -> Questions:
    """Ask for all copies of an image, by the query that is most like the image.

    Args:
        digits: [N] which original each training image is; copies are the same original.
        train: [N, ...] training images.
        queries: [Q, ...] all queries, in the scale of ``train``.
        asked_about: Originals to ask about.
        among: Positions of the queries among which the nearest is taken, the first one of equals.

    Returns:
        One question for each original that is there, in groups by number of copies.
    """
    places = {original: np.flatnonzero(digits == original) for original in asked_about}
    present = [original for original, where in places.items() if len(where)]
    pool = queries[np.asarray(among, dtype=np.int64)].reshape(len(among), -1).astype(np.float64)
    relevant, nearest, groups = np.zeros((len(digits), len(present)), bool), [], []
    for column, original in enumerate(present):
        where = places[original]
        relevant[where, column] = True
        image = train[where[0]].reshape(-1).astype(np.float64)
        nearest.append(among[int(np.square(pool - image).sum(axis=1).argmin())])
        groups.append(copies_group(len(where)))
    return _questions(nearest, relevant, groups)


def copies_group(count: int) -> str:
    """Name of the group of images that stand in the training set ``count`` times."""
    return f"{count} {'copy' if count == 1 else 'copies'}"


def elsewhere(
    questions: Questions,
    originals: tuple[np.ndarray, np.ndarray],
    ids: tuple[np.ndarray, np.ndarray],
) -> Questions:
    """The same questions about another training set, whose queries are in another order.

    Args:
        questions: About the first training set; all relevant images of one are the same original.
        originals: [N] and [N'] the original that each training image of both sets is.
        ids: [Q] and [Q'] ids of the queries of both.

    Raises:
        ValueError: If a query or an original is absent from the second.
    """
    here, there = originals
    column_of = {int(i): column for column, i in enumerate(ids[1])}
    asked = [int(i) for i in ids[0][questions.queries]]
    wanted = here[questions.relevant.argmax(axis=0)]  # [n]
    if not set(asked) <= set(column_of) or not np.isin(wanted, there).all():
        raise ValueError(
            "the other experiment lacks queries or training images that this one asks about; "
            "expected all of them there"
        )
    columns = np.array([column_of[i] for i in asked], dtype=np.int64)
    return Questions(columns, there[:, None] == wanted, questions.groups)


def total(scores: np.ndarray, questions: Questions) -> np.ndarray:
    """Sum of the scores of the relevant images of each question.

    Args:
        scores: [N, Q].
        questions: n questions.

    Returns:
        [n] float64.
    """
    chosen = scores[:, questions.queries].astype(np.float64)
    return np.where(questions.relevant, chosen, 0).sum(axis=0)
