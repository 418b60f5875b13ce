"""Five near-copies of a held-out image in a real training set have small q-values, others have not.

The model is trained for some seconds. Its decoys, and the queries whose decoys are pooled, are
digits that it has not seen.
"""

import numpy as np
import pytest

from dasbench.attribution import evidence
from dasbench.attribution.leave_one_out import blind_scores, matches
from dasbench.diffusion import denoiser, training
from dasbench.diffusion.families import pixel
from dasbench.gradients import features

COPIES, ASKED, HELD_OUT, HALF = 5, 4, 16, 80
FORM = {
    "readout": "loss",
    "normalise": False,
    "noise": "common",
    "timesteps": 10,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 512,
    "projection": "rademacher",
}


@pytest.fixture(scope="module")
def gradients(recipe):
    """Features [T, n, P] of training images, decoys, and queries: the asked ones come first."""
    from dasbench.data import digits

    pool, rng = digits.pool().images, np.random.default_rng(0)
    queries = pool[1000 : 1000 + ASKED + HELD_OUT]
    near = np.repeat(queries[:ASKED], COPIES, axis=0).astype(int)
    near = np.clip(near + rng.integers(-12, 13, near.shape), 0, 255).astype(np.uint8)
    images = np.concatenate([near, pool[: HALF - len(near)]])
    axes, x = ("planted", 0, "evidence"), denoiser.to_model(images)
    unet, process = pixel.build(recipe["model"], recipe["diffusion"], x.shape[1:], axes)
    settings = {**recipe["training"], "epochs": 40, "batch_size": 8, "learning_rate": 0.005}
    everything = np.ones(len(x), dtype=bool)
    training.train(training.make_accelerator(1), unet, process, x, everything, settings, axes)
    shown = np.concatenate([x, denoiser.to_model(np.concatenate([pool[HALF : 2 * HALF], queries]))])
    engine = features.Extractor(unet, process, FORM, axes)
    (g,) = engine.by_timestep(shown, np.arange(len(shown)), "train")
    return np.split(g, [HALF, 2 * HALF], axis=1)


def judged(scores, standardise):
    """Evidence of the asked queries; the decoys of the others are pooled."""
    training_, decoys = scores
    return evidence.judge(
        training_[:, :ASKED],
        decoys[:, :ASKED],
        decoys[:, ASKED:],
        training_[:, ASKED:],
        standardise=standardise,
    )


def test_planted_copies_match_with_a_small_q_value(gradients):
    found = judged(matches(*gradients, 0.05), standardise=False)
    own = np.zeros_like(found.q, dtype=bool)
    for j in range(ASKED):
        own[COPIES * j : COPIES * (j + 1), j] = True
    assert (found.q[own] <= 0.05).all()
    assert (found.q[~own] <= 0.05).mean() < 0.02
    assert abs(found.auc - 0.5) < 0.05


def test_every_copy_scores_higher_than_every_decoy_of_its_query(gradients):
    """So do scores whose q-values cannot tell because units differ from query to query."""
    training_, decoys = blind_scores(*gradients, 0.05)
    for j in range(ASKED):
        assert training_[COPIES * j : COPIES * (j + 1), j].min() > decoys[:, j].max()
