"""Exact influence against finite differences, and against autograd through the whole run."""

import numpy as np
import pytest
import torch

from dasbench.diffusion import outputs
from dasbench.diffusion.families import pixel
from dasbench.diffusion.model_inputs import Data
from dasbench.diffusion.replay import Replay, State
from dasbench.errors import UserError
from dasbench.gradients import exact_influence
from tiny import AXES, MODEL

BASE = (*AXES, "base", 0, 0)
GRID = outputs.grid(4, 1000, "quadratic")


@pytest.fixture
def make(recipe, digits):
    """Build a run of 10 images, 4 a batch: 3 steps an epoch."""

    def run(dtype=torch.float64, epochs=7, **changes):
        network, process = pixel.build(MODEL, recipe["diffusion"], (1, 8, 8), BASE)
        settings = {**recipe["training"], "batch_size": 4, "epochs": epochs, **changes}
        data = Data(torch.from_numpy(digits[1][:10]))
        network = network.double() if dtype == torch.float64 else network
        return Replay(network, process, data, settings, BASE)

    return run


@pytest.fixture
def weights():
    w = torch.ones(10, dtype=torch.float64)
    w[2], w[7] = 0.0, 0.4  # a derivative is defined at any weights
    return w


def measured(run, w, digits):
    """The outputs [3] of the run's model on three queries, and their gradients [3, P]."""
    queries = digits[1][12:20]
    theta = run.run(w)
    return exact_influence.final_gradients(run, theta, queries, [6, 0, 3], "val", GRID, AXES)


def test_scores_are_finite_differences_of_a_weight(make, weights, digits):
    """Central differences over 21 steps, for three sizes of the step: the error falls as h^2."""
    run = make()
    assert run.steps == 21
    scores = exact_influence.influence(run, weights, measured(run, weights, digits)[1])
    assert scores.shape == (3, 10)
    for n in (2, 5):
        errors = []
        for h in (1e-2, 1e-3, 1e-4):
            unit = torch.zeros_like(weights)
            unit[n] = h
            ends = [measured(run, weights + sign * unit, digits)[0] for sign in (1, -1)]
            difference = (ends[0] - ends[1]) / (2 * h)
            errors.append(np.abs(difference - scores[:, n]).max())
        size = np.abs(scores[:, n]).max()
        assert size > 1e-3
        assert errors[2] < 1e-6 * size
        assert errors[1] < 0.02 * errors[0]


@pytest.mark.parametrize(
    "change",
    [{}, {"ema_decay": None}, {"weight_decay": 3.0, "flip": True}],
    ids=["plain", "no average", "flip and strong decay"],
)
def test_scores_are_autograd_through_the_whole_run(change, make, weights, digits):
    run = make(epochs=2, **change)
    final = measured(run, weights, digits)[1]
    w, state = weights.clone().requires_grad_(), run.start()
    leaf = state.theta.clone().requires_grad_()
    state = State(leaf, state.first, state.second, leaf)
    for step in range(run.steps):
        batch = run.batch(step)
        loss = w[batch.examples] @ run.losses(state.theta, batch) / len(batch.examples)
        (g,) = torch.autograd.grad(loss, state.theta, create_graph=True)
        state = run.advance(state, g, step)
    rows = [torch.autograd.grad(state.average, w, row, retain_graph=True)[0] for row in final]
    expected = torch.stack(rows).numpy()
    found = exact_influence.influence(run, weights, final)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_backwards_yields_the_states_of_the_run(make, weights):
    for epochs in (1, 3, 4):  # 3, 9, 12 steps: with and without a shorter last segment
        run = make(epochs=epochs)
        expected = [run.start(), *run.states(weights)]
        found = list(exact_influence.backwards(run, weights))
        assert [k for k, _, _ in found] == list(range(run.steps))[::-1]
        for k, before, after in found:
            for pair in ((before, expected[k]), (after, expected[k + 1])):
                assert all(torch.equal(a, b) for a, b in zip(*pair, strict=True))


def test_float32_is_close_to_float64(make, weights, digits):
    found = []
    for dtype in (torch.float32, torch.float64):
        run = make(dtype, epochs=3)
        found.append(exact_influence.influence(run, weights, measured(run, weights, digits)[1]))
    assert np.abs(found[0] - found[1]).max() < 1e-3 * np.abs(found[1]).max()


def test_each_query_has_scores_of_its_own(make, weights, digits):
    run, seen = make(epochs=1), []
    final = measured(run, weights, digits)[1]
    together = exact_influence.influence(run, weights, final, seen.append)
    assert seen == [2, 1, 0]
    for q in range(3):
        alone = exact_influence.influence(run, weights, final[q : q + 1])[0]
        np.testing.assert_array_equal(alone, together[q])


def test_derivatives_that_overflow_are_refused(make, weights):
    run = make(torch.float32, epochs=1)
    with pytest.raises(UserError, match="is not finite, which happens if the run is far from"):
        exact_influence.influence(run, weights, torch.full((1, len(run.start().theta)), 3e38))


def test_final_gradients_are_those_of_the_measured_output(make, weights, digits):
    run = make(epochs=1)
    theta, queries, chosen = run.run(weights), digits[1][12:20], [6, 0, 3]
    values, gradients = measured(run, weights, digits)
    network = run.fill(theta)
    loss, _ = outputs.measure_by_timestep(
        [network], None, run.process, queries, "val", GRID[0], AXES, chosen=chosen
    )
    np.testing.assert_allclose(values, loss[0].T @ GRID[1], rtol=1e-10)
    direction = torch.from_numpy(np.random.default_rng(0).standard_normal(len(theta)))
    ends = [
        exact_influence.final_gradients(
            run, theta + h * direction, queries, chosen, "val", GRID, AXES
        )[0]
        for h in (1e-6, -1e-6)
    ]
    slope = (ends[0] - ends[1]) / 2e-6
    np.testing.assert_allclose((gradients @ direction).numpy(), slope, rtol=1e-6)
