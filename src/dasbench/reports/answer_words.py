"""Words and numbers of the answer page: plain English, no more digits than the numbers support."""

from __future__ import annotations

import math

import numpy as np

from dasbench.attribution.answer import RATE, Answer, SelfCheck
from dasbench.data.pictures import shown
from dasbench.reports.pages import NOTHING, missing

PERCENT = "\N{NO-BREAK SPACE}%"
MORE = 50  # images that a list may have beside those with the highest scores
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SMALL, _LARGE = 1e-3, 1e5  # outside, a number has a power of ten
_MOST = 2 / 3  # of the influence, for "mostly"


def line(text: str) -> str:
    """A text of the user in one line; what cannot be printed is escaped."""
    return shown(" ".join(text.split()))


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    text = line(text).replace(" %", PERCENT)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def count(number: int, noun: str) -> str:
    """Such as ``1 image`` or ``60,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def score(value: float) -> str:
    """Two digits that count, such as ``0.031``, ``450`` or ``3.1·10⁻⁷``."""
    if missing(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    mantissa, exponent = f"{value:.1e}".split("e")
    size = abs(float(f"{value:.1e}"))
    if value == 0 or _SMALL <= size < _LARGE:
        text = f"{size:,.{max(0, 1 - int(exponent))}f}" if value else "0"
        return f"−{text}" if value < 0 else text
    return f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")


def share(value: float) -> str:
    """A share in per cent, such as ``12 %``, ``1.2 %`` or ``0.04 %``."""
    if missing(value):
        return NOTHING
    percent = 100 * value
    if 0 < percent < 0.01:  # noqa: PLR2004 - the last digit that is printed
        return f"< 0.01{PERCENT}"
    digits = 0 if percent >= 9.95 or percent == 0 else 1 if percent >= 0.95 else 2  # noqa: PLR2004
    return f"{percent:.{digits}f}{PERCENT}"


def q_value(value: float) -> str:
    """A q-value, such as ``0.03``, ``0.4`` or ``< 0.001``.

    Below 0.1 it is rounded up: an image that does not stand out never looks like one that does.
    """
    if missing(value):
        return NOTHING
    if value < 0.001:  # noqa: PLR2004 - the last digit that is printed
        return "< 0.001"
    if value >= 0.1:  # noqa: PLR2004 - far from any rate that matters
        return f"{value:.1f}".removesuffix(".0")
    size = 1000 if value < 0.01 else 100  # noqa: PLR2004
    return f"{math.ceil(round(value * size, 6)) / size:g}"


def noise(weights: np.ndarray) -> str:
    """Where in the noise levels an influence lies, in words.

    Args:
        weights: [T], not negative, ascending noise.
    """
    high = noisier_half(weights)
    if math.isnan(high):
        return "absent at every noise level"
    if high >= _MOST:
        return "mostly at high noise (overall shape)"
    if high <= 1 - _MOST:
        return "mostly at low noise (detail)"
    return "spread over the noise levels"


def noisier_half(weights: np.ndarray) -> float:
    """Share of [T] weights in the noisier half of the levels; NaN if there is no weight."""
    half, total = len(weights) / 2, weights.sum()
    inside = np.clip(np.arange(1, len(weights) + 1) - half, 0, 1)  # a level in the middle: one half
    return float(weights @ inside / total) if total > 0 else math.nan


def agreement(title: str, others: np.ndarray, rows: np.ndarray) -> str:
    """How many training images are among the highest of two scores.

    Args:
        title: Title of the other score.
        others: Rows with the highest values of the other score.
        rows: As many rows with the highest values of the score that ranks.
    """
    both, listed = len(np.intersect1d(others, rows)), len(rows)
    found = f"{both} of the {listed} highest are also among the {listed} highest by {line(title)}"
    if both / listed >= _MOST:
        return f"{found}. So most of these are simply the most similar images."
    return f"{found}."


def further(number: int, top: int) -> str:
    """What is said of images that stand out, but are not among the highest.

    Args:
        number: How many there are, at least 1; a list has the first ``MORE``.
        top: Number of the highest.
    """
    verb, scores = ("stands", "Its score is") if number == 1 else ("stand", "Their scores are")
    found = (
        f"{count(number, 'more training image')} {verb} out. {scores} not among the {top} highest."
    )
    if number <= MORE:
        return found
    return (
        f"{found} The {MORE} with the lowest q-values are listed; the other {number - MORE:,} are "
        "in the table (--csv FILE, or frame() in Python)."
    )


def self_check(checks: SelfCheck) -> str:
    """What the self-check found, and the ranks of the images that failed."""
    ranks = checks.ranks
    found = (
        f"{(ranks == 1).sum()} of {count(len(ranks), 'training image')} come out on top of their "
        "own answer"
    )
    failed = [
        f"{line(name)} has rank {rank:,}"
        for name, rank in zip(checks.names, ranks, strict=True)
        if rank > 1
    ]
    return sentence(f"{found}: {'; '.join(failed)}" if failed else found)


def reach(smallest: float) -> str:
    """What one image alone can show with these decoys."""
    if smallest <= RATE:
        return f"The smallest q-value that one image can reach is {q_value(smallest)}."
    return (
        f"One image alone cannot stand out with so few decoys: its q-value is "
        f"{q_value(min(smallest, 1.0))} at best."
    )


def comparison(auc: float) -> str:
    """How training images and decoys compare where neither should be higher."""
    return (
        "For held-out images, a training image scores higher than a decoy in "
        f"{100 * auc:.0f}{PERCENT} of all pairs; 50{PERCENT} is right."
    )


def overview(answer: Answer) -> str:
    """The answer to several queries in one sentence."""
    if answer.evidence is None:
        return (
            "Each list starts with the training image of the highest score. Without decoys, nobody "
            "knows whether it stands out."
        )
    queries = len(answer.queries)
    found = (answer.evidence.q <= RATE).any(axis=0)
    untold = int((~found & (answer.evidence.smallest > RATE)).sum())
    decoys = "decoys, which are images that the model has not seen"
    if untold == queries:
        return f"There are too few {decoys}, to tell whether a training image stands out from them."
    few = f" For {untold:,}, there are too few decoys to tell." if untold else ""
    if not found.any():
        which = f"{queries - untold:,} of {queries:,}" if untold else f"all {queries:,}"
        return f"For {which} images, no training image stands out from {decoys}.{few}"
    return (
        f"For {found.sum():,} of {queries:,} images, training images stand out from {decoys}.{few}"
    )
