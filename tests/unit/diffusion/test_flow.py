"""Rectified flow against the loss formulas of training scripts, and samples against diffusers'."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import (
    compute_density_for_timestep_sampling,
    compute_loss_weighting_for_sd3,
)

from dasbench import seeds
from dasbench.diffusion import denoiser, flow, outputs, process_table, sampling, training
from dasbench.diffusion import process as processes
from dasbench.diffusion.process import Flow
from dasbench.errors import UserError
from tiny import AXES

SHAPE = (2, 4, 4)
SETTINGS = {
    "process": "flow",
    "timesteps": 1000,
    "shift": 3.0,
    "weighting": "none",
    "timestep_sampling": "uniform",
}


def scheduler(**config):
    return FlowMatchEulerDiscreteScheduler(**config)


def drawn(seed, count=3):
    rng = np.random.default_rng(seed)
    return (torch.tensor(rng.standard_normal((count, *SHAPE))) for _ in range(2))


class Tiny(torch.nn.Module):
    """A network of random weights whose output depends on every input, image by image."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.mix = torch.nn.Linear(math.prod(SHAPE) + 1, math.prod(SHAPE))

    def forward(self, x, time):
        wide = torch.cat([x.flatten(1), time[:, None].to(x)], 1)
        return SimpleNamespace(sample=self.mix(wide).view(x.shape))


def script_loss(name, s, x, eps, network, weighting="none", precondition=False):
    """The loss of one image, line by line as diffusers' training script ``name`` states it."""
    timestep = 1000 * s
    if name == "lumina2":
        noisy, target = (1 - s) * eps + s * x, x - eps
        prediction = network(noisy, timestep / 1000)
    elif name == "z_image":
        noisy, target = (1 - s) * x + s * eps, eps - x
        prediction = -network(noisy, (1000 - timestep) / 1000)
    else:
        noisy, target = (1 - s) * x + s * eps, eps - x
        prediction = network(noisy, timestep if name == "sd3" else timestep / 1000)
    if precondition:
        prediction, target = prediction * -s + noisy, x
    weight = compute_loss_weighting_for_sd3(weighting, torch.tensor(s, dtype=torch.float64))
    return (weight * (prediction - target) ** 2).mean()


@pytest.mark.parametrize("name", flow.CONVENTIONS)
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("weighting", flow.WEIGHTINGS)
def test_the_loss_is_that_of_the_training_script(name, shift, weighting):
    process = Flow(scheduler(shift=shift), name, weighting)
    x, eps = drawn(0, 4)
    network = Tiny().double()
    t = torch.tensor([0, 333, 998, 999])
    x_t, target = process.pair(x, eps, t)
    assert x_t.dtype == target.dtype == torch.float64
    predicted = denoiser.predict(network, x_t, process.time(t))
    losses = process.weight(t).double() * (predicted - target).square().flatten(1).mean(1)
    descending = scheduler(shift=shift).sigmas.double()
    for i, step in enumerate(t.tolist()):
        s = descending[step if name == "lumina2" else 999 - step].item()

        def one(noisy, time, network=network):
            return network(noisy[None], torch.tensor([time])).sample[0]

        precondition = weighting == "precondition"
        if precondition and name != "sd3":
            continue  # no other script preconditions
        usual = "none" if precondition else weighting
        expected = script_loss(name, s, x[i], eps[i], one, usual, precondition)
        torch.testing.assert_close(losses[i], expected, rtol=1e-5, atol=1e-8)


def test_preconditioning_measures_the_error_of_the_image_on_every_path():
    for name in flow.CONVENTIONS:
        process, (x, eps) = Flow(scheduler(), name, "precondition"), drawn(1, 2)
        t = torch.tensor([400, 900])
        x_t, target = process.pair(x, eps, t)
        prediction = target + 0.1 * torch.randn_like(target)
        r = process._shares[t].double()[:, None, None, None]
        image = x_t - r * flow.CONVENTIONS[name].sign * prediction
        error = (image - x).square().flatten(1).mean(1)
        ours = process.weight(t) * (prediction - target).square().flatten(1).mean(1)
        torch.testing.assert_close(ours, error, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", flow.CONVENTIONS)
@pytest.mark.parametrize("shift", [1.0, 6.0])
def test_timesteps_ascend_in_noise(name, shift):
    process = Flow(scheduler(shift=shift), name)
    x, eps = (one.repeat(1000, 1, 1, 1) for one in drawn(2, 1))
    x_t, _ = process.pair(x, eps, torch.arange(1000))
    share = (x_t - x).flatten(1).norm(dim=1) / (eps - x).flatten(1).norm(dim=1)
    assert (share.diff() > 0).all()
    assert share[0] < 0.01
    assert share[-1] > 0.99


def test_sigmas_are_those_of_construction_whatever_set_timesteps_did():
    """huggingface/diffusers#13243: it replaces the sigmas, and shifts their lowest end twice."""
    used = scheduler(shift=3.0)
    fresh = Flow(scheduler(shift=3.0))
    used.set_timesteps(7)
    used.set_timesteps(5)
    after = Flow(used)
    assert len(used.sigmas) != 1000
    x, eps = drawn(3, 2)
    t = torch.tensor([0, 999])
    for a, b in zip(after.pair(x, eps, t), fresh.pair(x, eps, t), strict=True):
        assert torch.equal(a, b)
    exact = 3 * torch.tensor([0.001, 1.0]) / (1 + 2 * torch.tensor([0.001, 1.0]))
    torch.testing.assert_close(fresh.time(t), 1000 * exact, rtol=1e-6, atol=0)


def test_sampling_and_set_timesteps_change_no_score(tiny):
    """Neither outputs nor what the process tells the network, before and after sampling."""
    process = Flow(scheduler(shift=3.0), bounded=True)
    images = tiny.images["val"]
    steps = outputs.grid(4, process.total)

    def measured():
        return outputs.measure([tiny.unet], tiny.unet, process, images, "val", steps, AXES)

    before = measured()
    noise = torch.zeros(1, *tiny.shape).to(next(tiny.unet.parameters()))
    sampling.sample(tiny.unet, process, noise, 3)
    process.scheduler.set_timesteps(3)
    for a, b in zip(measured(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("weighting", ["sigma_sqrt", "cosmap"])
def test_weights_are_those_of_diffusers(weighting):
    process = Flow(scheduler(shift=2.0), weighting=weighting)
    t = torch.arange(1000)
    expected = compute_loss_weighting_for_sd3(weighting, scheduler(shift=2.0).sigmas.flip(0))
    torch.testing.assert_close(process.weight(t), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", flow.DRAWS)
def test_draws_have_the_distribution_of_diffusers(name):
    """Kolmogorov-Smirnov distance of 20 000 draws; ours are in a scheduler's descending order."""
    count = 20_000
    ours = flow.draw(name, seeds.generator("tests", name), count, 1000)
    assert ours.dtype == np.int64
    assert ours.min() >= 0
    assert ours.max() <= 999
    generator = torch.Generator().manual_seed(0)
    theirs = compute_density_for_timestep_sampling(name, count, 0.0, 1.0, 1.29, generator=generator)
    theirs = (theirs * 1000).long().numpy()
    cumulated = [np.cumsum(np.bincount(d, minlength=1001)[:1000]) / count for d in (ours, theirs)]
    assert np.abs(cumulated[0] - cumulated[1]).max() < 1.95 * (2 / count) ** 0.5


def test_only_the_training_draw_descends():
    """The mode favours large sigmas: early positions of a scheduler, late timesteps here."""
    rng = np.random.default_rng(0)
    place = flow.draw("logit_normal", np.random.default_rng(0), 50, 1000)
    here = Flow(scheduler(), timestep_sampling="logit_normal").draw(rng, 50)
    np.testing.assert_array_equal(here, 999 - place)
    rng = np.random.default_rng(0)
    reversed_ = Flow(scheduler(), "lumina2", timestep_sampling="logit_normal").draw(rng, 50)
    np.testing.assert_array_equal(reversed_, place)


def test_training_takes_the_draws_and_weights_of_the_process():
    process = Flow(scheduler(), weighting="sigma_sqrt", timestep_sampling="mode")
    draws = training.Draws(AXES, (9, *SHAPE), process).epoch(2)
    rng = seeds.generator(*AXES, "training", "timestep", 2)
    np.testing.assert_array_equal(draws[1], process.draw(rng, 9))


@pytest.mark.parametrize("steps", [1, 5, 50])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_steps_are_those_of_euler_in_diffusers(steps, shift):
    theirs = scheduler(shift=shift)
    theirs.set_timesteps(steps)
    sampler = Flow(scheduler(shift=shift)).sampler(steps)
    (x, _), predictions = drawn(4), torch.randn(steps, 3, *SHAPE)
    x = x.float()
    ours = x
    for t, k, v in zip(theirs.timesteps, sampler.timesteps, predictions, strict=True):
        assert sampler.time(k) == pytest.approx(t.item(), rel=1e-6)
        x = theirs.step(v, t, x).prev_sample
        ours = sampler.step(v, k, ours).x
        torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-5)


def test_a_straight_path_is_sampled_exactly():
    """With the velocity of one image, every clean image is that image, and so is the sample."""
    x, eps = drawn(5, 1)
    for name, row in flow.CONVENTIONS.items():
        sampler = Flow(scheduler(), name).sampler(4)
        here = eps
        for t in sampler.timesteps:
            step = sampler.step(row.sign * (eps - x), t, here)
            torch.testing.assert_close(step.clean, x)
            here = step.x
        torch.testing.assert_close(here, x)


@pytest.mark.parametrize("steps", [1, 10, 999, 1000])
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("name", flow.CONVENTIONS)
def test_timesteps_of_steps_are_distinct_and_near(steps, shift, name):
    process = Flow(scheduler(shift=shift), name)
    timesteps = process.sampler(steps).timesteps
    assert len(set(timesteps)) == steps
    assert timesteps == sorted(timesteps, reverse=True)
    assert (max(timesteps), min(timesteps) >= 0) == (999, True)
    if steps <= 10:
        shares = flow.sampling_sigmas(process.scheduler.config, flow.CONVENTIONS[name], steps, None)
        assert np.abs(process._shares[timesteps].numpy() - shares[:-1]).max() < 0.01


def test_a_dynamic_shift_is_that_of_the_pipeline():
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    config = scheduler(use_dynamic_shifting=True, base_shift=0.4, max_shift=1.3).config
    row = flow.CONVENTIONS["flux"]
    mu = flow.dynamic_shift(config, row, (16, 64, 32))
    assert mu == pytest.approx(calculate_shift(32 * 16, 256, 4096, 0.4, 1.3))
    process = Flow(scheduler(use_dynamic_shifting=True), "flux")
    np.testing.assert_allclose(process._shares, np.arange(1, 1001) / 1000, rtol=1e-6)
    with pytest.raises(ValueError, match="needs the shape"):
        process.sampler(3)
    assert process.sampler(3, (16, 8, 8)).time(999) == pytest.approx(1)


@pytest.mark.parametrize("key", ["invert_sigmas", "stochastic_sampling"])
def test_other_paths_are_refused(key):
    with pytest.raises(UserError, match=f"has {key}: True, expected false"):
        Flow(scheduler(**{key: True}))


def test_settings_describe_the_process_that_they_build():
    settings = {**SETTINGS, "weighting": "cosmap", "timestep_sampling": "mode"}
    process = processes.build(settings, bounded=True)
    assert process.settings == settings
    assert process.bounded
    assert process.scheduler.config.shift == 3.0


def test_a_unet_learns_a_flow_and_its_folder_says_so(tmp_path):
    """Families of UNets take any process; latents are not bounded."""
    from diffusers import DDPMPipeline

    from dasbench.diffusion.families import latent, pixel
    from tiny import MODEL

    unet, process = pixel.build(MODEL, SETTINGS, (1, 8, 8), AXES)
    pixel.save(tmp_path, unet, process)
    _, loaded = pixel.load(tmp_path)
    assert (type(loaded), loaded.bounded) == (Flow, True)
    assert not latent.load(tmp_path)[1].bounded
    assert loaded.settings == SETTINGS
    noise = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    pipeline = DDPMPipeline.from_pretrained(tmp_path)
    assert type(pipeline.scheduler) is FlowMatchEulerDiscreteScheduler
    pipeline.scheduler.set_timesteps(3)
    x = noise
    with torch.no_grad():
        for t in pipeline.scheduler.timesteps:
            x = pipeline.scheduler.step(pipeline.unet(x, t).sample, t, x).prev_sample
    made = sampling.sample(unet.eval(), loaded, noise, 3)
    torch.testing.assert_close(made, x.clamp(-1, 1), rtol=1e-4, atol=1e-5)


def test_the_table_reads_a_flow_and_refuses_what_it_does_not_state(tmp_path):
    config = {"_class_name": "FlowMatchHeunDiscreteScheduler", "num_train_timesteps": 500}
    process = processes.from_config({**config, "shift": 2.0}, "FILE", images=False)
    assert (type(process), process.total, process.bounded) == (Flow, 500, False)
    stated = process_table.section({**config, "shift": 2.0}, "FILE", {})
    assert stated == {"process": "flow", "timesteps": 500, "shift": 2.0}
    for change, sentence in (
        ({}, "FILE does not state shift"),
        ({"shift": 0}, "FILE has shift 0, expected a number above 0"),
        ({"shift": 1.0, "invert_sigmas": True}, "FILE has invert_sigmas: True"),
        ({"shift": 1.0, "num_train_timesteps": 0}, "num_train_timesteps 0, expected a whole"),
    ):
        with pytest.raises(UserError, match=sentence):
            processes.from_config({**config, **change}, "FILE")
    with pytest.raises(UserError, match="use_dynamic_shifting, expected a fixed shift"):
        process_table.section({**config, "shift": 1.0, "use_dynamic_shifting": True}, "FILE", {})
    with pytest.raises(UserError, match="another kind of flow, which is not supported"):
        processes.from_config({"_class_name": "FlowMatchLCMScheduler"}, "FILE")


def test_a_scheduler_that_has_sampled_becomes_the_process_of_its_configuration():
    used = scheduler(shift=3.0)
    used.set_timesteps(4)
    x, eps = drawn(6, 1)
    t = torch.tensor([0])
    for a, b in zip(
        processes.of(used).pair(x, eps, t), Flow(scheduler(shift=3.0)).pair(x, eps, t), strict=True
    ):
        assert torch.equal(a, b)
