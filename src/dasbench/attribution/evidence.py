"""q-values: how far training images stand out from decoys, images that the model has not seen.

Vocabulary: a *decoy* is an image like the training images that the model has not seen, scored as if
it were one. The *p-value* of a score s is the share of decoys that score at least s, the image
itself counted among them:

    p(s) = (1 + #decoys >= s) / (1 + D)

The *q-value* of a training image is the smallest false discovery rate at which it is listed, where
a list has all images from some threshold on:

    q_i = min over thresholds s <= s_i of  N p(s) / #(training images >= s), at most 1

*Pooled* decoys are the decoys of H held-out queries. Each score is standardised, (s - median) / MAD
with the median and the median absolute deviation of the decoys of its own query, so that scores of
several queries can be compared. Pooling assumes that standardised scores are alike for all queries.
Matches (``dasbench.attribution.leave_one_out``) have one unit for all queries and stay as they are.

Training images need leave-one-out scores (``dasbench.attribution.leave_one_out``): their kernel
must be as blind to them as it is to decoys.

Shapes: N training images, D decoys, Q queries, H held-out queries. Only numpy is used.

Source: conformal p-values, Bates et al. (2023), arXiv 2104.08279; q-values of Benjamini and
Hochberg (1995).
"""

from __future__ import annotations

import numpy as np

from dasbench.attribution.answer import Evidence

RATE = 0.05  # false discovery rate of the sentences
BALANCED = (0.48, 0.52)  # AUC that leave-one-out scores should have
_MATRIX = 2  # number of axes of scores


def judge(
    training: np.ndarray,
    decoys: np.ndarray,
    pooled: np.ndarray | None = None,
    pooled_training: np.ndarray | None = None,
    rate: float = RATE,
    standardise: bool = True,
) -> Evidence:
    """Compare the scores of training images with those of decoys.

    Args:
        training: [N, Q] leave-one-out scores of the training images.
        decoys: [D, Q] scores of the decoys; D may be 0.
        pooled: [D', H] scores of decoys for held-out queries; None: each query has its own decoys
            only. A decoy that serves as a held-out query must not be among these D' decoys.
        pooled_training: [N, H] leave-one-out scores of the training images for the same queries;
            None: no AUC.
        rate: False discovery rate of the sentences.
        standardise: Standardise pooled scores; False for scores with one unit for all queries.

    Returns:
        The evidence. A query whose decoys have no spread cannot be standardised: it is compared
        with its own decoys. A held-out query without spread is left out of the pool.

    Raises:
        ValueError: If shapes disagree, there are no training images, or a score is not finite.
    """
    training = _checked(training)
    decoys = _checked(decoys, training.shape[1])
    if not len(training):
        raise ValueError("there are no training images; q-values compare them with decoys")
    judged, others, auc = training, list(decoys.T), None
    if pooled is not None:
        pooled = _checked(pooled)
        judged, others = _with_pool(training, decoys, pooled, standardise)
        if pooled_training is not None and pooled.size:
            known = _checked(pooled_training, pooled.shape[1])
            auc = float(auc_by_query(known, pooled).mean())
    pairs = zip(judged.T, others, strict=True)
    q = np.stack([q_values(scores, rest) for scores, rest in pairs], axis=1)
    smallest = np.array([smallest_q(len(training), len(rest)) for rest in others])
    sentences = [sentence(*each, rate) for each in zip(q.T, smallest, strict=True)]
    return Evidence(q, smallest, training, decoys, auc, sentences, warning(auc))


def p_values(scores: np.ndarray, decoys: np.ndarray) -> np.ndarray:
    """Conformal p-values: (1 + #decoys >= s) / (1 + D).

    Args:
        scores: [N].
        decoys: [D].

    Returns:
        [N] in (0, 1]. For a score exchangeable with the decoys, P(p <= u) <= u for every u.
    """
    return (1 + _at_least(scores, decoys)) / (1 + len(decoys))


def q_values(scores: np.ndarray, decoys: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg q-values of conformal p-values.

    Args:
        scores: [N].
        decoys: [D].

    Returns:
        [N] in (0, 1]; a higher score has no larger q-value. If no score depends on its image, the
        smallest is at most u with a probability of at most u, for every u, and with a probability
        of u if (D + 1) u / N is whole.
    """
    n, order = len(scores), np.argsort(scores)
    ascending = scores[order]
    # whole numbers and one division: a q-value that is 1/20 equals 0.05
    expected = n * (1 + _at_least(ascending, decoys))
    q = np.empty(n)
    q[order] = np.minimum.accumulate(expected / ((1 + len(decoys)) * _at_least(ascending, scores)))
    return np.minimum(q, 1)


def smallest_q(training: int, decoys: int, images: int = 1) -> float:
    """The smallest q-value that ``images`` training images can reach together: N / ((D + 1) k)."""
    return min(1.0, training / ((decoys + 1) * images))


def auc_by_query(training: np.ndarray, decoys: np.ndarray) -> np.ndarray:
    """Share of (training image, decoy) pairs in which the training image scores higher.

    Args:
        training: [N, Q].
        decoys: [D, Q].

    Returns:
        [Q] in [0, 1]; a tie counts one half. NaN without decoys.
    """
    shares = np.full(training.shape[1], np.nan)
    for j, (own, rest) in enumerate(zip(training.T, np.sort(decoys, axis=0).T, strict=True)):
        if len(rest):
            sides = [np.searchsorted(rest, own, side=side).mean() for side in ("left", "right")]
            shares[j] = sum(sides) / (2 * len(rest))
    return shares


def sentence(q: np.ndarray, smallest: float, rate: float = RATE) -> str:
    """What the q-values [N] of one query say.

    Args:
        q: [N] q-values.
        smallest: The smallest that one image can reach.
        rate: False discovery rate.
    """
    count = int((q <= rate).sum())
    if count:
        images = "1 training image stands" if count == 1 else f"{count} training images stand"
        return f"{images} out at a false discovery rate of {100 * rate:g} %"
    if smallest > rate:
        return f"too few decoys to tell: the smallest reachable value is {smallest:.2g}"
    return "none stands out"


def warning(auc: float | None) -> str | None:
    """A sentence if training images and decoys differ on held-out queries, else None."""
    if auc is None or BALANCED[0] <= auc <= BALANCED[1]:
        return None
    side = "higher" if auc > BALANCED[1] else "lower"
    return (
        f"Training images score {side} than decoys on held-out queries (AUC {auc:.2f}, expected "
        f"{BALANCED[0]:g} to {BALANCED[1]:g}), so the q-values are not calibrated: take decoys "
        "from the source of the training images, or judge matches"
    )


def _checked(scores: np.ndarray, queries: int | None = None) -> np.ndarray:
    """Scores [n, queries] in float64; raises ValueError as ``judge`` does."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim != _MATRIX or queries not in (None, scores.shape[1]):
        expected = "Q" if queries is None else queries
        raise ValueError(f"scores have shape {scores.shape}, expected [n, {expected}]")
    if not np.isfinite(scores).all():
        raise ValueError("scores are not all finite; find the image whose features are not finite")
    return scores


def _with_pool(
    training: np.ndarray, decoys: np.ndarray, pooled: np.ndarray, standardise: bool
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Scores [N, Q] in the units of the decoys that each of the Q queries is compared with."""
    if not pooled.size:
        return training, list(decoys.T)
    if not standardise:
        return training, [pooled.ravel()] * training.shape[1]
    pool = _standardised(pooled, pooled)
    pool = pool[:, np.isfinite(pool).all(axis=0)].ravel()
    units = _standardised(training, decoys)
    usable = np.isfinite(units).all(axis=0) & (pool.size > 0)
    others = [pool if able else rest for able, rest in zip(usable, decoys.T, strict=True)]
    return np.where(usable, units, training), others


def _at_least(thresholds: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How many scores are at least as high as each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def _standardised(scores: np.ndarray, decoys: np.ndarray) -> np.ndarray:
    """(s - median) / MAD of the decoys of each query; a column without spread is not finite."""
    centre = np.median(decoys, axis=0) if len(decoys) else np.full(decoys.shape[1], np.nan)
    spread = np.median(np.abs(decoys - centre), axis=0) if len(decoys) else centre
    with np.errstate(divide="ignore", invalid="ignore"):
        return (scores - centre) / spread
