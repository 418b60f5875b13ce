"""Unlearning against a step taken by hand, in float64."""

import copy
import itertools

import numpy as np
import pytest
import torch

import curvature_problem
import oracle
import oracle_curvature
from curvature_problem import AXES, IDS, SETTINGS, SHAPE, Net, samples
from dasbench import seeds
from dasbench.gradients import unlearning

OWN = {**SETTINGS, "loss_timesteps": 3, "steps": [0.001, 0.05]}
MEASURED = [166, 500, 833]  # three timesteps by the midpoint rule


def measured(given, i):
    """What the loss of an example is measured on: one noise for all."""
    _, process, images = given
    abar = process.scheduler.alphas_cumprod.double().numpy()
    found = []
    for t in MEASURED:
        rng = seeds.generator(*AXES, "unlearning", "common", t, 0)
        eps = torch.from_numpy(rng.standard_normal(SHAPE, np.float32))
        image = torch.from_numpy(images["train"][i])
        found.append((oracle.add_noise(image, t, eps, abar), t, eps.double()))
    return found


@pytest.fixture(scope="module")
def problem():
    return curvature_problem.make()


@pytest.fixture(scope="module")
def forgotten(problem):
    unet, process, images = problem
    kept = copy.deepcopy(unet.state_dict())
    made = unlearning.Unlearning(unet, process, OWN, AXES, batch=3)
    found = list(made.fit(images["train"], IDS["train"]).scores(images["val"], "val"))
    assert [q for q, _ in found] == [0, 1, 2]
    for name, value in unet.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)
    return np.stack([scores for _, scores in found], 2)


@pytest.mark.parametrize("k", [0, 1])
def test_scores_are_the_change_of_loss_after_the_step(k, forgotten, problem):
    train = [samples(problem, "train", i) for i in range(4)]
    val = [samples(problem, "val", i) for i in range(3)]
    fixed = [measured(problem, i) for i in range(4)]
    expected = oracle_curvature.unlearning(problem[0], train, val, fixed, OWN["steps"][k])
    np.testing.assert_allclose(forgotten[k], expected, rtol=1e-6, atol=1e-9)


def test_a_small_step_is_influence_with_the_diagonal(forgotten, problem):
    """Score / step tends to grad L_i . F^-1 grad L_q / N, the first-order change."""
    unet, process, images = problem
    tiny = {**OWN, "steps": [1e-7]}
    made = unlearning.Unlearning(unet, process, tiny, AXES).fit(images["train"], IDS["train"])
    found = np.stack([s[0] for _, s in made.scores(images["val"], "val")], 1) / 1e-7
    train = [samples(problem, "train", i) for i in range(4)]
    each = [oracle_curvature.loss_gradient(unet, [s]) for some in train for s in some]
    for i, q in itertools.product(range(4), range(3)):
        g = oracle_curvature.loss_gradient(unet, measured(problem, i))
        h = oracle_curvature.loss_gradient(unet, samples(problem, "val", q))
        fisher = {n: sum(e[n] ** 2 for e in each) / len(each) for n in g}
        expected = sum((g[n] * h[n] / fisher[n])[fisher[n] > 0].sum() for n in g) / 4
        assert found[i, q] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    # and a large one is not
    assert np.abs(forgotten[1] / 0.05 - found).max() > 0.01 * np.abs(found).max()


def test_a_step_that_breaks_the_model_says_nothing(problem):
    unet, process, images = problem
    far = {**OWN, "steps": [1e-3, 1e300]}
    made = unlearning.Unlearning(unet, process, far, AXES).fit(images["train"], IDS["train"])
    _, scores = next(made.scores(images["val"], "val"))
    assert np.isfinite(scores).all()
    assert (scores[0] != 0).any()


def test_a_weight_that_nothing_moves_stays(problem):
    unet, process, images = problem
    dead = Net().double()
    dead.load_state_dict(unet.state_dict())
    with torch.no_grad():
        dead.last.weight[:, 0] = 0
        dead.narrow.weight[:] = 0
    made = unlearning.Unlearning(dead, process, OWN, AXES).fit(images["train"], IDS["train"])
    assert (made.fisher["first"] == 0).all()
    _, scores = next(made.scores(images["val"], "val"))
    assert np.isfinite(scores).all()
