"""The process against its formulas in float64, and its sampler against that of diffusers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

import dasbench
import oracle
from dasbench.diffusion import process as processes
from dasbench.diffusion import process_table
from dasbench.diffusion.process import PREDICTIONS, Ddpm

SHAPE = (2, 4, 6)
PACKAGE = Path(dasbench.__file__).parent


def drawn(seed, count=3):
    rng = np.random.default_rng(seed)
    return (torch.tensor(rng.standard_normal((count, *SHAPE))) for _ in range(2))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_pairs_are_the_formulas(prediction):
    """Image by image, with betas multiplied in a loop; the scheduler's own products are float32."""
    process = Ddpm(DDPMScheduler(1000, prediction_type=prediction))
    x, eps = drawn(0)
    t = torch.tensor([0, 420, 999])
    x_t, target = process.pair(x, eps, t)
    assert x_t.dtype == target.dtype == torch.float64
    exact = process.scheduler.alphas_cumprod.double().numpy()
    for abar, tolerance in ((exact, 1e-12), (oracle.linear_abar(), 1e-4)):
        for i, step in enumerate(t.tolist()):
            a, b = abar[step] ** 0.5, (1 - abar[step]) ** 0.5
            expected = {"epsilon": eps[i], "sample": x[i], "v_prediction": a * eps[i] - b * x[i]}
            close = {"rtol": tolerance, "atol": tolerance}
            torch.testing.assert_close(x_t[i], oracle.add_noise(x[i], step, eps[i], abar), **close)
            torch.testing.assert_close(target[i], expected[prediction], **close)


def test_pairs_are_those_of_diffusers():
    scheduler = DDPMScheduler(1000, prediction_type="v_prediction")
    x, eps = drawn(1)
    t = torch.tensor([3, 500, 998])
    x_t, v = Ddpm(scheduler).pair(x, eps, t)
    torch.testing.assert_close(x_t, scheduler.add_noise(x, eps, t), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(v, scheduler.get_velocity(x, eps, t), rtol=1e-6, atol=1e-6)


def test_timesteps_ascend_in_noise():
    process = Ddpm(DDPMScheduler(1000))
    x, eps = (one.repeat(1000, 1, 1, 1) for one in drawn(2, 1))
    x_t, _ = process.pair(x, eps, torch.arange(process.total))
    share = (x_t - x).flatten(1).norm(dim=1) / (eps - x).flatten(1).norm(dim=1)
    assert process.total == 1000
    assert share[0] < 0.02
    assert share[-1] > 0.98
    assert (share.diff() > 0).all()


def test_the_network_takes_timesteps_and_the_loss_weighs_them_alike():
    process, t = Ddpm(DDPMScheduler(1000)), torch.tensor([0, 7, 999])
    assert process.time(t) is t
    assert process.weight(t).tolist() == [1, 1, 1]


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="sample or v_prediction, got 'score'"):
        Ddpm(DDPMScheduler(prediction_type="score"))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("more", [{}, {"steps_offset": 1, "set_alpha_to_one": False}])
def test_steps_are_those_of_ddim_in_diffusers(prediction, bounded, more):
    form = {"prediction_type": prediction, "clip_sample": bounded, **more}
    process = Ddpm(DDPMScheduler.from_config(form))
    ddim = DDIMScheduler.from_config({**process.scheduler.config, **form})
    ddim.set_timesteps(7)
    sampler = process.sampler(7)
    assert process.bounded is bounded
    assert sampler.timesteps == ddim.timesteps.tolist()
    x, prediction = drawn(3)
    for t in ddim.timesteps:
        expected = ddim.step(prediction, t, x)
        step = sampler.step(prediction, int(t), x)
        assert torch.equal(step.clean, expected.pred_original_sample)
        assert torch.equal(step.x, expected.prev_sample)
        x = step.x


@pytest.mark.parametrize("steps", [1, 5])
def test_steps_are_the_formula_of_the_paper(steps):
    """Song et al. (2021), equation 12 with sigma 0, of noise that is predicted."""
    process = Ddpm(DDPMScheduler(1000, clip_sample=False))
    abar, sampler = process.scheduler.alphas_cumprod.double(), process.sampler(steps)
    x, eps = drawn(4)
    for t in sampler.timesteps:
        after = abar[t - 1000 // steps] if t >= 1000 // steps else 1.0
        clean = (x - (1 - abar[t]) ** 0.5 * eps) / abar[t] ** 0.5
        expected = after**0.5 * clean + (1 - after) ** 0.5 * eps
        step = sampler.step(eps, t, x)
        torch.testing.assert_close(step.clean, clean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(step.x, expected, rtol=1e-5, atol=1e-5)
        x = step.x


SETTINGS = {"timesteps": 50, "beta_schedule": "scaled_linear", "prediction_type": "sample"}


def test_settings_describe_the_process_that_they_build(tmp_path):
    ends = {"beta_start": 0.001, "beta_end": 0.03}
    process = processes.build({**SETTINGS, **ends}, bounded=False)
    assert process.settings == {**SETTINGS, **ends}
    assert (process.total, process.bounded) == (50, False)
    process.scheduler.save_pretrained(tmp_path)
    again = processes.load(tmp_path)
    assert again.settings == process.settings
    assert torch.equal(again.scheduler.alphas_cumprod, process.scheduler.alphas_cumprod)
    assert not again.bounded
    assert processes.load(tmp_path, clip_sample=True).bounded


def test_a_scheduler_becomes_a_process_and_a_process_stays():
    scheduler = DDPMScheduler(30)
    process = processes.of(scheduler)
    assert process.scheduler is scheduler
    assert processes.of(process) is process


def test_nothing_else_reads_the_noise_schedule():
    """Whoever noises an image asks the process; the table beside it checks configurations."""
    schedule = re.compile(r"alphas_cumprod|add_noise|\.prediction_type|DD[PI]MScheduler")
    readers = {path.name for path in PACKAGE.rglob("*.py") if schedule.search(path.read_text())}
    assert readers == {Path(module.__file__).name for module in (processes, process_table)}
