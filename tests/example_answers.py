"""Answers of any size from random numbers, for what shows them."""

from dataclasses import replace

import numpy as np

from dasbench.attribution.answer import Answer, Evidence, Picture, Score, SelfCheck
from dasbench.attribution.evidence import sentence


def example(count=20, queries=3, decoys=40, levels=4, side=8, seed=0):
    """An answer in which training image j is query j in a copy, and alone stands out for it.

    Pixel similarity agrees with the score for query 0, and is reversed for all others.
    """
    rng = np.random.default_rng(seed)
    training = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    by_timestep = rng.gamma(1.0, 1e-3, (levels, count, queries))
    by_timestep[0, np.arange(queries), np.arange(queries)] += 1.0  # all of it at the lowest noise
    values = by_timestep.mean(axis=0)
    pixels = -values
    pixels[:, 0] = values[:, 0]
    q = np.ones((count, queries))
    q[np.arange(queries), np.arange(queries)] = 0.0312
    return Answer(
        main=Score("das_stepwise", "Influence", "how much the prediction depends on it", values),
        others=[Score("pixel_cosine_power", "Pixel similarity", "the pixels are alike", pixels)],
        training=[Picture(f"train/{i}.png", f"/data/train/{i}.png", "boot") for i in range(count)],
        queries=[Picture(f"asked {j}", None, f"class {j}") for j in range(queries)],
        training_pixels=training,
        query_pixels=training[:queries],
        timesteps=np.linspace(100, 900, levels).astype(np.int64),
        by_timestep=by_timestep,
        evidence=Evidence(
            q=q,
            smallest=np.full(queries, 0.0312),
            training=values,
            decoys=rng.gamma(1.0, 1e-3, (decoys, queries)),
            auc=0.503,
            sentences=["1 training image stands out at a false discovery rate of 5 %"] * queries,
        ),
        checks=SelfCheck([f"train/{i}.png" for i in range(4)], np.array([1, 1, 3, 1])),
        facts={"model": "models/base", "torch": "2.99.0"},
        warnings=["a check failed"],
    )


def unlisted(answer, count=4):
    """The same, but the ``count`` lowest training images of each query stand out, too.

    The lowest of all has the lowest q-value.
    """
    q = answer.evidence.q.copy()
    for j in range(q.shape[1]):
        q[answer.order(answer.main, j, len(q))[-count:], j] = np.linspace(0.05, 0.01, count)
    told = [sentence(*each) for each in zip(q.T, answer.evidence.smallest, strict=True)]
    return replace(answer, evidence=replace(answer.evidence, q=q, sentences=told))


def bare(answer):
    """The same without anything that an answer may lack."""
    return replace(
        answer, others=(), by_timestep=None, evidence=None, checks=None, facts={}, warnings=()
    )
