"""Features along sampling trajectories against loops, in float64."""

import numpy as np
import pytest
import torch

import oracle
from dasbench import seeds
from dasbench.diffusion import sampling
from dasbench.gradients import features, trajectories
from tiny import AXES, SHAPE

STEPS = 5
FORM = {
    "readout": "loss",
    "normalise": False,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 2,
    "dimensions": 7,
    "projection": "none",
}


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(4).standard_normal((3, *SHAPE)).astype(np.float32)


def test_the_trajectory_ends_at_the_sample(tiny, noise):
    start = torch.from_numpy(noise).double()
    *_, (t, _, last) = sampling.trajectory(tiny.unet, tiny.process, start, STEPS)
    sampled = sampling.sample(tiny.unet, tiny.process, start, STEPS)
    assert t == 0
    torch.testing.assert_close(last.clamp(-1, 1).float(), sampled)


def walk(tiny, noise):
    """(t, predicted clean image) of every step of one image, by the formulas of DDIM alone."""
    x, found = noise.astype(np.float64), []
    times = [k * 1000 // STEPS for k in reversed(range(STEPS))]
    for t, after in zip(times, [*times[1:], -1], strict=True):
        eps = oracle.predict(tiny.model, x, t).detach().numpy().reshape(SHAPE)
        abar, next_abar = tiny.abar[t], tiny.abar[after] if after >= 0 else tiny.abar[0]
        if after < 0 and tiny.process.scheduler.config.get("set_alpha_to_one", True):
            next_abar = 1.0
        clean = np.clip((x - (1 - abar) ** 0.5 * eps) / abar**0.5, -1, 1)
        found.append((t, clean))
        # diffusers' sampler keeps the predicted noise as it is where the image is clipped
        x = next_abar**0.5 * clean + (1 - next_abar) ** 0.5 * eps
    return found


def test_features_are_gradients_of_the_loss_at_the_predicted_images(tiny, noise, monkeypatch):
    kept = []

    class Recording(features.Projection):
        def __call__(self, gradients):
            kept.append(super().__call__(gradients))
            return kept[-1]

    monkeypatch.setattr(features, "Projection", Recording)
    returned = trajectories.compute(tiny.unet, tiny.process, noise, FORM, AXES, STEPS)
    ours = torch.stack(kept).mean(0).numpy()
    np.testing.assert_allclose(returned, ours, rtol=1e-5, atol=1e-6 * np.abs(ours).max())
    for q in range(3):
        path, total = walk(tiny, noise[q]), 0.0
        for k in (1, 3):  # of five steps two, by the midpoint rule
            t, clean = path[k]
            for draw in range(2):
                axes = (*AXES, "features", "keyed", "journey", q, t, draw)
                eps = seeds.generator(*axes).standard_normal(SHAPE, np.float32)
                args = (tiny.model, clean, t, eps, "loss", tiny.abar)
                total = total + oracle.readout_gradient(*args)
        expected = total / 4
        # the sampler's own products of abar are float32
        np.testing.assert_allclose(ours[q], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_more_timesteps_than_steps_take_every_step(tiny, noise):
    args = (tiny.unet, tiny.process, noise)
    every = trajectories.compute(*args, {**FORM, "timesteps": STEPS}, AXES, STEPS)
    more = trajectories.compute(*args, {**FORM, "timesteps": 100}, AXES, STEPS)
    np.testing.assert_array_equal(every, more)


def test_a_journey_is_not_the_loss_of_the_finished_image(tiny, noise):
    journey = trajectories.compute(tiny.unet, tiny.process, noise, FORM, AXES, STEPS)
    start = torch.from_numpy(noise).double()
    images = sampling.sample(tiny.unet, tiny.process, start, STEPS).numpy()
    plain = features.compute(tiny.unet, tiny.process, images, range(3), "gen", FORM, AXES)
    assert journey.shape == plain.shape
    assert np.abs(journey - plain).max() > 0.1 * np.abs(plain).max()
