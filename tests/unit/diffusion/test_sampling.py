"""Samples and the trajectories that lead to them, against the formulas and diffusers."""

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler

import oracle
from dasbench.diffusion import sampling


def ddim_by_hand(model, abar, x, steps):
    """Song et al. (2021), equation 12 with sigma 0; predicted images are clipped to [-1, 1]."""
    grid = [k * (1000 // steps) for k in range(steps)][::-1]
    for t in grid:
        before = t - 1000 // steps
        a, a_before = abar[t], abar[before] if before >= 0 else 1.0
        eps = oracle.predict(model, x, t).detach().reshape(x.shape)
        image = ((x - (1 - a) ** 0.5 * eps) / a**0.5).clamp(-1, 1)
        x = a_before**0.5 * image + (1 - a_before) ** 0.5 * eps
    return x.clamp(-1, 1)


def test_ddim_is_the_formula_of_the_paper(tiny):
    noise = torch.tensor(np.random.default_rng(1).standard_normal((2, *tiny.shape)))
    made = sampling.sample(tiny.unet, tiny.process, noise, steps=5)
    by_hand = [ddim_by_hand(tiny.model, tiny.abar, each, 5) for each in noise]
    torch.testing.assert_close(made, torch.stack(by_hand).float(), rtol=1e-5, atol=1e-5)
    assert made.dtype == torch.float32
    assert made.abs().max() <= 1
    assert made.std() > 0.05


def test_ddim_draws_nothing_and_does_not_depend_on_the_batch(tiny):
    noise = torch.tensor(np.random.default_rng(1).standard_normal((5, *tiny.shape)))
    torch.manual_seed(0)
    first = sampling.sample(tiny.unet, tiny.process, noise, 4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = sampling.sample(tiny.unet, tiny.process, noise, 4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    parts = sampling.sample(tiny.unet, tiny.process, noise, 4, batch=2)
    torch.testing.assert_close(first, parts, rtol=1e-6, atol=1e-6)
    other = sampling.sample(tiny.unet, tiny.process, noise.flip(0), 4)
    torch.testing.assert_close(first, other.flip(0), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(first[0], first[1], atol=1e-3)


def test_samples_are_those_of_the_diffusers_pipeline(tiny):
    unet = tiny.unet.__class__.from_config(tiny.unet.config)
    unet.load_state_dict(tiny.unet.state_dict())
    pipeline = DDIMPipeline(unet.eval(), DDIMScheduler.from_config(tiny.process.scheduler.config))
    pipeline.set_progress_bar_config(disable=True)
    torch.manual_seed(3)
    images = pipeline(batch_size=2, num_inference_steps=4, output_type="np").images
    torch.manual_seed(3)
    noise = torch.randn(2, *tiny.shape)
    made = sampling.sample(unet, tiny.process, noise, 4).permute(0, 2, 3, 1)
    np.testing.assert_allclose(made.numpy() / 2 + 0.5, images, rtol=1e-5, atol=1e-5)
