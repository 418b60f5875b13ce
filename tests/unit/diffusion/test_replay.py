"""A run as a function of weights: the formula, and the same draws as training."""

import numpy as np
import pytest
import torch

from dasbench import seeds
from dasbench.diffusion import replay, training
from dasbench.diffusion.families import pixel
from dasbench.diffusion.model_inputs import Data
from tiny import AXES

BASE = (*AXES, "base", 0, 0)


@pytest.fixture
def make(recipe, digits):
    """Build a run on 24 digits; keyword arguments change the recipe."""

    def run(dtype=torch.float64, images=None, **changes):
        network, process = pixel.build(recipe["model"], recipe["diffusion"], (1, 8, 8), BASE)
        settings = {**recipe["training"], "warmup_steps": 1, "epochs": 2, **changes}
        x = torch.from_numpy(digits[1] if images is None else images)
        network = network.double() if dtype == torch.float64 else network
        return replay.Replay(network, process, Data(x), settings, BASE)

    return run


@pytest.fixture
def weights():
    w = torch.ones(24, dtype=torch.float64)
    w[[3, 8, 21]], w[5], w[6] = 0.0, 0.3, 2.0
    return w


def by_hand(run, w):
    """AdamW and average as in their papers, image by image; an image of weight 0 is skipped."""
    settings, images, (b1, b2) = run.settings, run.data.x.double(), run.settings["betas"]
    parameters = list(run.network.parameters())
    average = [p.detach().clone() for p in parameters]
    m, v = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    abar, k = run.process.scheduler.alphas_cumprod.double(), 0
    for epoch in range(settings["epochs"]):
        draw = {
            name: seeds.generator(*BASE, "training", name, epoch)
            for name in ("order", "timestep", "noise", "flip")
        }
        order, t = draw["order"].permutation(24), draw["timestep"].integers(0, 1000, 24)
        eps = torch.from_numpy(draw["noise"].standard_normal((24, 1, 8, 8), np.float32)).double()
        flips = draw["flip"].integers(0, 2, 24) == 1
        for start in range(0, 24, settings["batch_size"]):
            batch = order[start : start + settings["batch_size"]]
            loss = 0.0
            for i in batch:
                if w[i] == 0:
                    continue
                x = images[i].flip(2) if settings["flip"] and flips[i] else images[i]
                x_t = abar[t[i]].sqrt() * x + (1 - abar[t[i]]).sqrt() * eps[i]
                out = run.network(x_t[None], int(t[i])).sample[0]
                loss = loss + w[i] * ((eps[i] - out) ** 2).mean() / len(batch)
            gradients = torch.autograd.grad(loss, parameters)
            d = 0.0 if k == 0 else min(settings["ema_decay"] or 0.0, (1 + k) / (10 + k))
            eta = run.rates[k]
            k += 1
            for j, g in enumerate(gradients):
                with torch.no_grad():
                    m[j] = b1 * m[j] + (1 - b1) * g
                    v[j] = b2 * v[j] + (1 - b2) * g**2
                    root = torch.sqrt(v[j] / (1 - b2**k) + 1e-8)
                    new = parameters[j] * (1 - eta * settings["weight_decay"])
                    parameters[j].copy_(new - eta * m[j] / (1 - b1**k) / root)
                    average[j] = d * average[j] + (1 - d) * parameters[j]
    return torch.cat([a.flatten() for a in average])


@pytest.mark.parametrize(
    "change",
    [{}, {"flip": True, "weight_decay": 3.0}, {"ema_decay": None}],
    ids=["plain", "flip and strong decay", "no average"],
)
def test_a_run_is_the_formula_and_weight_zero_is_leaving_out(change, make, weights):
    run = make(**change)
    found = run.run(weights)
    expected = by_hand(make(**change), weights)
    moved = (expected - run.start().theta).norm()
    assert moved > 0.3
    # the process keeps its products in float32
    assert (found - expected).norm() < 1e-6 * moved


def test_unit_weights_and_a_tiny_epsilon_give_the_training_of_the_base(make, monkeypatch):
    """Everything that a replay does not state as different is that of ``training.train``."""
    monkeypatch.setattr(replay, "EPSILON", 1e-16)
    for change in ({}, {"flip": True}, {"schedule": "constant", "ema_decay": None}):
        run = make(torch.float32, **change)
        start, found = run.start().theta, run.run(torch.ones(24))
        network, data = make(torch.float32).network, run.data
        settings = {**run.settings, "clip_norm": None}
        accelerator = training.make_accelerator(1)
        everything = np.ones(24, dtype=bool)
        trained = training.train(
            accelerator, network, run.process, data, everything, settings, BASE
        )
        expected = torch.cat([p.detach().flatten() for p in trained.parameters()])
        # softmax does not see the keys' bias: its gradient is rounding, which Adam blows up
        blind = [torch.full_like(p, "to_k.bias" in n) for n, p in network.named_parameters()]
        seen = torch.cat([b.flatten() for b in blind]) == 0
        moved = (expected - start)[seen].norm()
        assert moved > 0.3
        # Adam blows up differences of rounding; a rate of the next step would change 0.1
        assert (found - expected)[seen].norm() < 1e-3 * moved


def test_an_image_of_weight_zero_is_not_seen(make, weights, digits):
    other = digits[1].copy()
    other[[3, 8, 21]] = -other[[3, 8, 21]]
    assert torch.equal(make().run(weights), make(images=other).run(weights))
    other[4] = -other[4]
    assert not torch.equal(make().run(weights), make(images=other).run(weights))


def test_a_mask_is_weights_and_a_run_can_be_repeated(make, weights):
    run, mask = make(), weights > 0
    first = run.run(mask)
    assert torch.equal(run.run(mask.double()), first)
    run.fill(first)
    assert torch.equal(run.run(mask), first)  # it starts at the initial weights all the same


def test_every_example_needs_a_weight(make):
    with pytest.raises(ValueError, match="got 23 weights for 24 examples"):
        make().run(torch.ones(23))


def test_a_run_goes_on_from_any_state(make, weights):
    run = make()
    states = list(run.states(weights))
    assert len(states) == run.steps == 10
    later = list(run.states(weights, states[3], range(4, 10)))
    assert torch.equal(later[-1].average, states[-1].average)
    assert torch.equal(later[-1].second, states[-1].second)


def test_the_filled_network_predicts_as_the_weights_do(make, weights, digits):
    run = make()
    theta = run.run(weights)
    x, t = torch.from_numpy(digits[1][:3]).double(), torch.tensor([5, 300, 900])
    with torch.no_grad():
        expected = run.fill(theta)(x, t).sample
        torch.testing.assert_close(run.predict(theta, x, t, None), expected, rtol=0, atol=1e-12)


def test_the_network_has_no_dropout(make, recipe, digits):
    form = {**recipe["model"], "dropout": 0.5}
    network, process = pixel.build(form, recipe["diffusion"], (1, 8, 8), BASE)
    settings, data = {**recipe["training"], "epochs": 1}, Data(torch.from_numpy(digits[1]))
    run = replay.Replay(network, process, data, settings, BASE)
    assert torch.equal(run.run(torch.ones(24)), run.run(torch.ones(24)))
