"""Displacement along sampling paths, against the equations step by step in float64."""

import copy

import numpy as np
import pytest
import torch

import oracle
from dasbench.diffusion import path_displacement
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import pixel
from tiny import DIFFUSION, MODEL


def moved(unet, size):
    """A copy of a network, its weights changed."""
    other = copy.deepcopy(unet)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(size * torch.randn(p.shape, generator=torch.Generator().manual_seed(4)).to(p))
    return other


def path_by_hand(model, abar, x, steps):
    """Images before every step of DDIM (eta 0, clean images clipped), with their timesteps."""
    visited = []
    for t in [k * (1000 // steps) for k in range(steps)][::-1]:
        visited.append((t, x))
        before = t - 1000 // steps
        a, a_before = abar[t], abar[before] if before >= 0 else 1.0
        eps = oracle.predict(model, x, t).detach().reshape(x.shape)
        image = ((x - (1 - a) ** 0.5 * eps) / a**0.5).clamp(-1, 1)
        x = a_before**0.5 * image + (1 - a_before) ** 0.5 * eps
    return visited


def test_outputs_are_mean_squares_along_the_base_models_path(tiny):
    noise = np.random.default_rng(2).standard_normal((3, *tiny.shape)).astype(np.float32)
    members = [moved(tiny.unet, size) for size in (0.0, 0.05, 0.2)]
    found = path_displacement.measure(members, tiny.unet, tiny.process, noise, 5, 2)
    assert found.shape == (3, 2, 3)
    assert found.dtype == np.float32
    for q, start in enumerate(noise):
        path = path_by_hand(tiny.model, tiny.abar, torch.tensor(start, dtype=torch.float64), 5)
        for place, number in enumerate((1, 3)):  # the middles of two halves of five steps
            t, x = path[number]
            before = oracle.predict(tiny.model, x, t).detach()
            for k, member in enumerate(members):
                after = oracle.predict(oracle.Sample(member), x, t).detach()
                expected = -float(((after - before) ** 2).mean())
                assert found[k, place, q] == pytest.approx(expected, rel=1e-4, abs=1e-12)
    assert not found[0].any()  # the base model itself
    assert (found[2] < found[1]).all()


def test_all_places_hold_the_chosen_ones(tiny):
    noise = np.random.default_rng(3).standard_normal((2, *tiny.shape)).astype(np.float32)
    members = [moved(tiny.unet, 0.1)]
    every = path_displacement.measure(members, tiny.unet, tiny.process, noise, 4, 4)
    some = path_displacement.measure(members, tiny.unet, tiny.process, noise, 4, 2)
    np.testing.assert_allclose(every[:, [1, 3]], some, rtol=1e-6)
    with pytest.raises(ValueError, match="timesteps must be 1 to 4, got 5"):
        path_displacement.measure(members, tiny.unet, tiny.process, noise, 4, 5)


def test_the_condition_of_a_query_is_given_to_every_model(tiny):
    """Two queries with one noise and other classes have other paths; each as if it were alone."""
    section = {**MODEL, "num_class_embeds": 2}
    unet, process = pixel.build(section, DIFFUSION, tiny.shape, ("classes", 0))
    unet = unet.eval()
    members = [moved(unet, 0.1)]
    one = np.random.default_rng(4).standard_normal((1, *tiny.shape)).astype(np.float32)
    noise, labels = np.concatenate([one, one]), torch.tensor([0, 1])
    classes = Condition("class_labels", labels)
    both = path_displacement.measure(members, unet, process, noise, 3, 3, classes)
    for q in range(2):
        each = path_displacement.measure(members, unet, process, one, 3, 3, classes[q : q + 1])
        np.testing.assert_allclose(both[:, :, q : q + 1], each, rtol=1e-4)
    assert not np.allclose(both[..., 0], both[..., 1], rtol=1e-3)
