"""Noising, targets, timesteps and sampling against their formulas."""

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

import oracle
from dasbench.diffusion import denoiser, sampling
from dasbench.gradients import residuals


def test_bytes_become_numbers_from_minus_one_to_one():
    images = np.zeros((1, 2, 3, 4), np.uint8)
    images[0, 1, 2, 3], images[0, 0, 1, 0] = 255, 51
    made = denoiser.to_model(images)
    assert made.shape == (1, 4, 2, 3)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert (made.min(), made.max(), made[0, 3, 1, 2]) == (-1, 1, 1)
    np.testing.assert_allclose(made[0, 0, 0, 1], 51 / 127.5 - 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "count", "expected"),
    [
        ("midpoint", 1, [500]),
        ("midpoint", 10, [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]),
        ("midpoint", 3, [166, 500, 833]),
        ("midpoint", 7, [71, 214, 357, 500, 642, 785, 928]),
        ("released", 10, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]),
        ("released", 3, [0, 333, 666]),
        ("midpoint", 1000, list(range(1000))),
        ("released", 1000, list(range(1000))),
    ],
)
def test_timestep_rules(rule, count, expected):
    grid = sampling.timestep_grid(count, 1000, rule)
    assert grid.tolist() == expected
    assert grid.dtype == np.int64


@given(count=st.integers(1, 300), extra=st.integers(0, 1000), rule=st.sampled_from([0, 1]))
def test_timesteps_are_the_floors_of_exact_fractions(count, extra, rule):
    total = count + extra
    grid = sampling.timestep_grid(count, total, ["midpoint", "released"][rule])
    numerators = [(2 * k + 1 if rule == 0 else 2 * k) * total for k in range(count)]
    assert grid.tolist() == [n // (2 * count) for n in numerators]
    assert grid.min() >= 0
    assert grid.max() < total
    assert len(set(grid.tolist())) == count


def test_midpoint_is_the_rule_unless_said():
    assert sampling.timestep_grid(10, 1000)[0] == 50


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_impossible_numbers_of_timesteps_are_refused(count):
    with pytest.raises(ValueError, match=f"1 to 1000, got {count}"):
        sampling.timestep_grid(count, 1000)


def test_noising_and_targets_are_those_of_the_oracle_and_of_diffusers(tiny):
    rng = np.random.default_rng(0)
    x, eps = (torch.tensor(rng.standard_normal((3, *tiny.shape))) for _ in range(2))
    t = torch.tensor([0, 420, 999])
    abar = denoiser.alphas(tiny.scheduler, t, x)
    assert abar.shape == (3, 1, 1, 1)
    assert abar.dtype == torch.float64
    x_t = denoiser.noised(x, eps, abar)
    for i in range(3):
        expected = oracle.add_noise(x[i], int(t[i]), eps[i], tiny.abar)
        torch.testing.assert_close(x_t[i], expected, rtol=1e-12, atol=1e-12)
        far = oracle.add_noise(x[i], int(t[i]), eps[i], oracle.linear_abar())
        torch.testing.assert_close(x_t[i], far, rtol=1e-4, atol=1e-4)
    assert denoiser.target(x, eps, abar, "epsilon") is eps
    v = denoiser.target(x, eps, abar, "v_prediction")
    library = DDPMScheduler(prediction_type="v_prediction").get_velocity(x, eps, t)
    torch.testing.assert_close(v, library, rtol=1e-6, atol=1e-6)
    # what v means: image and noise can be had back from it
    torch.testing.assert_close(abar.sqrt() * x_t - (1 - abar).sqrt() * v, x, rtol=1e-9, atol=1e-9)
    assert denoiser.target(x, eps, abar, "sample") is x
    with pytest.raises(ValueError, match="sample or v_prediction, got 'score'"):
        denoiser.target(x, eps, abar, "score")


def test_predictions_do_not_depend_on_the_batch(tiny):
    x = torch.from_numpy(tiny.images["train"]).double()
    t = torch.tensor([5, 900, 100, 0, 999])
    with torch.no_grad():
        whole = denoiser.predict(tiny.unet, x, t)
        parts = denoiser.predict(tiny.unet, x, t, batch=2)
        alone = [oracle.predict(tiny.model, x[i], int(t[i])).reshape(tiny.shape) for i in range(5)]
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole, torch.stack(alone), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_errors_by_timestep(tiny, prediction):
    scheduler = DDPMScheduler(1000, beta_schedule="linear", prediction_type=prediction)
    x = torch.from_numpy(tiny.images["val"]).double()
    noise = tiny.noise("outputs")

    def noise_of(t):
        return torch.tensor(np.stack([noise("val", i, t, 0) for i in range(len(x))])).double()

    seen = []
    for t, wanted, predicted in residuals.errors_by_timestep(
        tiny.unet, scheduler, x, noise_of, np.array([3, 700])
    ):
        seen.append(t)
        assert not predicted.requires_grad
        for i in range(len(x)):
            x_t = oracle.add_noise(x[i], t, noise_of(t)[i], tiny.abar)
            expected = oracle.predict(tiny.model, x_t, t).detach()
            torch.testing.assert_close(predicted[i].flatten(), expected, rtol=1e-10, atol=1e-10)
            a = tiny.abar[t]
            v = a**0.5 * noise_of(t)[i] - (1 - a) ** 0.5 * x[i]
            truth = noise_of(t)[i] if prediction == "epsilon" else v
            torch.testing.assert_close(wanted[i], truth, rtol=1e-10, atol=1e-10)
    assert seen == [3, 700]


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
    made = sampling.ddim_sample(tiny.unet, tiny.scheduler, noise, steps=5)
    by_hand = [ddim_by_hand(tiny.model, tiny.abar, each, 5) for each in noise]
    torch.testing.assert_close(made, torch.stack(by_hand).float(), rtol=1e-5, atol=1e-5)
    assert made.dtype == torch.float32
    assert made.abs().max() <= 1
    assert made.std() > 0.05


def test_ddim_draws_nothing_and_does_not_depend_on_the_batch(tiny):
    noise = torch.tensor(np.random.default_rng(1).standard_normal((5, *tiny.shape)))
    torch.manual_seed(0)
    first = sampling.ddim_sample(tiny.unet, tiny.scheduler, noise, 4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = sampling.ddim_sample(tiny.unet, tiny.scheduler, noise, 4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    parts = sampling.ddim_sample(tiny.unet, tiny.scheduler, noise, 4, batch=2)
    torch.testing.assert_close(first, parts, rtol=1e-6, atol=1e-6)
    other = sampling.ddim_sample(tiny.unet, tiny.scheduler, noise.flip(0), 4)
    torch.testing.assert_close(first, other.flip(0), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(first[0], first[1], atol=1e-3)


def test_samples_are_those_of_the_diffusers_pipeline(tiny):
    unet = tiny.unet.__class__.from_config(tiny.unet.config)
    unet.load_state_dict(tiny.unet.state_dict())
    pipeline = DDIMPipeline(unet.eval(), DDIMScheduler.from_config(tiny.scheduler.config))
    pipeline.set_progress_bar_config(disable=True)
    torch.manual_seed(3)
    images = pipeline(batch_size=2, num_inference_steps=4, output_type="np").images
    torch.manual_seed(3)
    noise = torch.randn(2, *tiny.shape)
    made = sampling.ddim_sample(unet, tiny.scheduler, noise, 4).permute(0, 2, 3, 1)
    np.testing.assert_allclose(made.numpy() / 2 + 0.5, images, rtol=1e-5, atol=1e-5)
