"""Unlearning with EK-FAC's curvature against steps taken by hand, in float64."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import curvature_problem
import oracle_curvature
from curvature_problem import AXES, IDS, SETTINGS, SHAPE, Net, curvature_samples, samples
from dasbench.gradients import unlearning_plus
from dasbench.gradients.influence import Problem

MEASURED = [166, 500, 833]  # three timesteps by the midpoint rule
STEPS = {"free": [0.01, 1.0], "bounded": [0.05, 0.8]}


class Better(Net):
    """A network whose prediction is better than zeros: the noised image is mostly noise."""

    def forward(self, x, t):
        return SimpleNamespace(sample=0.1 * super().forward(x, t).sample + 0.7 * x)


@pytest.fixture(scope="module")
def problem():
    unet, *rest = curvature_problem.make()
    better = Better().double()
    better.load_state_dict(unet.state_dict())
    return better, *rest


def asked(problem, ascent, **options):
    unet, process, images = problem
    own = {"ascent": ascent, "steps": STEPS[ascent], "loss_timesteps": 3, **options}
    queries, ids = {"val": images["val"]}, np.array(IDS["train"])
    return Problem(unet, process, {**SETTINGS, **own}, AXES, images["train"], ids, queries)


def whole(given):
    """Scores [A, N, Q]."""
    found = list(unlearning_plus.blocks(given))
    assert [(b.kind, b.columns) for b in found] == [("val", slice(q, q + 1)) for q in range(3)]
    return np.concatenate([block.scores for block in found], 2)


def fixed(problem, split, count):
    """What losses and gradients are measured on: the same timesteps and noise for all images."""
    return [samples(problem, split, i, MEASURED, 1, "common") for i in range(count)]


@pytest.mark.parametrize("ascent", ["free", "bounded"])
def test_scores_are_the_relative_change_of_loss_after_the_step(ascent, problem):
    kept = copy.deepcopy(problem[0].state_dict())
    given = asked(problem, ascent)
    np.testing.assert_array_equal(unlearning_plus.values(given), STEPS[ascent])
    found = whole(given)
    for name, value in problem[0].state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)
    for k, alpha in enumerate(STEPS[ascent]):
        expected = oracle_curvature.unlearning_plus(
            problem[0],
            curvature_samples(problem, "common"),
            fixed(problem, "val", 3),
            fixed(problem, "train", 4),
            alpha,
            ascent == "bounded",
        )
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(found[k], expected, rtol=1e-5, atol=1e-9)


def test_a_bounded_step_raises_the_querys_loss_and_stays_below_the_bound(problem):
    given = asked(problem, "bounded")
    made, shorter = unlearning_plus.UnlearningPlus(*given[:4]), set()
    made.fit(given.images, given.examples)
    for q, one in enumerate(fixed(problem, "val", 3)):
        x = torch.from_numpy(problem[2]["val"][q : q + 1]).to(made.where)
        gradient = made._gradient(x)
        direction = made._preconditioned(gradient)
        slope = sum(float((g * direction[name]).sum()) for name, g in gradient.items())
        (before,) = oracle_curvature.losses(problem[0], [one])
        null = np.mean([float((target**2).mean()) for _, _, target in one])
        for alpha in (0.05, 0.8):
            length = made._bounded(x, direction, slope, alpha)
            made._move(direction, length)
            (after,) = oracle_curvature.losses(made.moved, [one])
            rise, linear = alpha * (null - before), alpha * (null - before) / slope
            assert after - before <= rise * (1 + 1e-9)
            assert after - before > 0.99 * rise or length == pytest.approx(linear)
            shorter.add(length < 0.99 * linear)
    assert shorter == {False, True}


def test_a_query_as_bad_as_a_prediction_of_zeros_moves_nothing(problem):
    """Its bound lies at or below its loss: every score is 0, a tie."""
    unet, process, images = problem
    far = copy.deepcopy(unet)
    with torch.no_grad():
        far.last.bias += 100
    found = whole(asked((far, process, images), "bounded"))
    np.testing.assert_array_equal(found, 0)


def test_a_step_that_breaks_the_model_says_nothing(problem):
    found = whole(asked(problem, "free", steps=[1.0, 1e300]))
    assert np.isfinite(found).all()
    assert (found[0] != 0).all()
    np.testing.assert_array_equal(found[1], 0)


class Idle(Better):
    """It also calls a layer whose output it does not use."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Linear(SHAPE[-1], 1)

    def forward(self, x, t):
        self.idle(x)
        return super().forward(x, t)


def test_a_layer_without_curvature_stays(problem):
    unet, process, images = problem
    dead = Idle().double()
    dead.load_state_dict(unet.state_dict(), strict=False)
    with torch.no_grad():
        dead.last.weight[:] = 0
    given = asked((dead, process, images), "free")
    made = unlearning_plus.UnlearningPlus(*given[:4]).fit(given.images, given.examples)
    assert not made.curvature.factors["first"].eigenvalues.any()
    assert "idle" not in made.curvature.factors
    _, scores = next(made.scores(images["val"], "val"))
    assert np.isfinite(scores).all()
    assert (scores[1] != 0).all()


def test_an_unknown_ascent_is_refused(problem):
    given = asked(problem, "free")
    given = given._replace(settings={**given.settings, "ascent": "steep"})
    with pytest.raises(ValueError, match="ascent must be free or bounded, got 'steep'"):
        next(unlearning_plus.blocks(given))
