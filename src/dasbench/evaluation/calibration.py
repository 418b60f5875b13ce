"""How often q-values list images that stand out by chance alone.

A *half-model* was trained on a random half of the images. The other half are images of the same
kind that it has not seen. Two kinds of *candidates* take the place of training images:

* ``unseen``: images of the other half. They are exchangeable with the decoys, which are the rest of
  that half, so every discovery is false. This checks the statistics.
* ``training``: images that the model was trained on, by their leave-one-out scores. For a held-out
  query the two halves differ in nothing but the training, so a discovery is false here, too. This
  checks that leave-one-out undoes the training.

The *rate* is the share of (model, query) pairs in which at least one candidate has a q-value of at
most the nominal rate. If all discoveries are false, it is the false discovery rate. It must not
exceed the nominal rate. With own decoys the sizes are chosen so that it equals the nominal rate.

Shapes: M half-models, A asked queries, H held-out queries, whose decoys are pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from dasbench import seeds
from dasbench.attribution import evidence
from dasbench.attribution.leave_one_out import Blind
from dasbench.evaluation.bootstrap import Bootstrap

RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
STEP = 20  # with (D + 1) / N = 20, every multiple of 1/20 is reached exactly
BINS = 20  # of p-values


class Design(NamedTuple):
    """What is compared with what.

    Attributes:
        candidates: "unseen" or "training".
        decoys: "own" or "pooled".
    """

    candidates: str
    decoys: str


CANDIDATES, DECOYS = ("unseen", "training"), ("own", "pooled")
DESIGNS = [Design(candidates, decoys) for decoys in DECOYS for candidates in CANDIDATES]


def sizes(unseen: int) -> tuple[int, int]:
    """Numbers of candidates and of own decoys among the unseen images, (D + 1) / N = ``STEP``.

    Raises:
        ValueError: If there are fewer than ``STEP`` unseen images.
    """
    if unseen < STEP:
        raise ValueError(f"{unseen} unseen images are too few, at least {STEP} are needed")
    candidates = (unseen + 1) // (STEP + 1)
    return candidates, STEP * candidates - 1


def lowest_q(
    scores: Blind, held_out: int, design: Design, standardise: bool, rng: np.random.Generator
) -> np.ndarray:
    """The lowest q-value of the candidates, for each asked query.

    Candidates are drawn anew for every query: given the scores, two queries are independent.

    Args:
        scores: Of one half-model, [n, H + A] for both halves.
        held_out: H; the first H queries are pooled, the others asked.
        design: What is compared.
        standardise: Standardise pooled scores.
        rng: Draws candidates and decoys.

    Returns:
        [A] in (0, 1].
    """
    training, unseen = scores
    count, decoys = sizes(len(unseen))
    if design.decoys == "pooled":
        count = decoys = len(unseen) // 2
    lowest = []
    for j in range(held_out, unseen.shape[1]):
        order = rng.permutation(len(unseen))
        known, rest = unseen[order[:count], j], unseen[order[count : count + decoys]]
        if design.candidates == "training":
            known = training[rng.choice(len(training), count, replace=False), j]
        pooled = rest[:, :held_out] if design.decoys == "pooled" else None
        judged = evidence.judge(known[:, None], rest[:, [j]], pooled, standardise=standardise)
        lowest.append(judged.q.min())
    return np.array(lowest)


def rates(lowest: np.ndarray, bootstrap: Bootstrap, axes: Sequence[str | int]) -> pd.DataFrame:
    """Rates of discoveries against the nominal ones.

    Args:
        lowest: [M, A] from ``lowest_q``.
        bootstrap: Resamples models and, independently, queries.
        axes: Seed axes of the resamples.

    Returns:
        One row for each of ``RATES``: nominal, rate, lo, hi (its interval), expected_lo,
        expected_hi (the binomial interval of M A independent trials at the nominal rate), highest
        (the rate of the query with the highest one).
    """
    models, queries = lowest.shape
    draws = bootstrap.shared(axes, "calibration", models, queries)
    rows = []
    for nominal in RATES:
        listed = (lowest <= nominal).astype(np.float64)
        resampled = draws.mean(draws.subsets @ listed / models)
        lo, hi = bootstrap.interval(listed.mean(), resampled)
        expected = binom.interval(bootstrap.level, listed.size, nominal)
        expected_lo, expected_hi = (count / listed.size for count in expected)
        highest = listed.mean(axis=0).max()
        row = (nominal, listed.mean(), lo, hi, expected_lo, expected_hi, highest)
        rows.append([float(value) for value in row])
    columns = ["nominal", "rate", "lo", "hi", "expected_lo", "expected_hi", "highest"]
    return pd.DataFrame(rows, columns=columns)


def auc(
    scores: Sequence[Blind], bootstrap: Bootstrap, axes: Sequence[str | int]
) -> dict[str, float]:
    """AUC of training images against unseen images, 0.5 if leave-one-out undoes the training.

    Args:
        scores: Of each half-model; all queries are held out.
        bootstrap: Resamples models and, independently, queries.
        axes: Seed axes of the resamples.

    Returns:
        auc, lo, hi, and the least and the greatest of the models.
    """
    table = np.stack([evidence.auc_by_query(*each) for each in scores])  # [M, Q]
    draws = bootstrap.shared(axes, "calibration", *table.shape)
    lo, hi = bootstrap.interval(table.mean(), draws.mean(draws.subsets @ table / len(table)))
    by_model = table.mean(axis=1)
    numbers = (table.mean(), lo, hi, by_model.min(), by_model.max())
    return dict(zip(("auc", "lo", "hi", "least", "greatest"), map(float, numbers), strict=True))


def p_shares(scores: Sequence[Blind], held_out: int, axes: Sequence[str | int]) -> dict[str, list]:
    """Histograms of p-values by own decoys.

    Args:
        scores: Of each half-model.
        held_out: H; the queries after the first H are asked.
        axes: Seed axes of the draws.

    Returns:
        candidates ("unseen", "training") -> share of the p-values in each of ``BINS`` equal bins of
        (0, 1]; all are 1 / BINS if p-values are uniform.
    """
    counts = {name: np.zeros(BINS) for name in CANDIDATES}
    rng = seeds.generator(*axes, "p")
    for training, unseen in scores:
        count, decoys = sizes(len(unseen))
        for j in range(held_out, unseen.shape[1]):
            values = rng.permutation(unseen[:, j])
            rest = values[count : count + decoys]
            for name, known in (("unseen", values[:count]), ("training", training[:, j])):
                p = evidence.p_values(known, rest)
                counts[name] += np.bincount(
                    np.ceil(p * BINS - 1e-9).astype(int) - 1, minlength=BINS
                )
    return {name: (each / each.sum()).tolist() for name, each in counts.items()}


def study(
    scores: Sequence[Blind],
    held_out: int,
    standardise: bool,
    bootstrap: Bootstrap,
    axes: Sequence[str | int],
) -> pd.DataFrame:
    """``rates`` of all ``DESIGNS``, with the columns candidates and decoys.

    Args:
        scores: Of each half-model, for the same queries.
        held_out: H.
        standardise: Standardise pooled scores.
        bootstrap: For the intervals.
        axes: Leading seed axes.
    """
    tables = []
    for design in DESIGNS:
        lowest = [
            lowest_q(each, held_out, design, standardise, seeds.generator(*axes, *design, m))
            for m, each in enumerate(scores)
        ]
        tables.append(rates(np.stack(lowest), bootstrap, axes).assign(**design._asdict()))
    return pd.concat(tables, ignore_index=True)
