"""Residuals against the oracle's loops."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

import oracle
from dasbench.diffusion.process import Ddpm
from dasbench.gradients import residuals
from tiny import AXES

FORM = {"kind": "scalar", "timesteps": 4, "timestep_rule": "midpoint", "draws": 1}
GRID = {"midpoint": [125, 375, 625, 875], "released": [0, 250, 500, 750]}
FLOAT32 = 1e-6  # what is returned is rounded to float32; the products of betas are, too


def compute(tiny, process=None, order=slice(None), **changes):
    images, ids = tiny.images["train"][order], np.array(tiny.ids["train"])[order]
    args = (tiny.unet, process or tiny.process, images, ids)
    return residuals.compute(*args, {**FORM, **changes}, AXES)


@pytest.mark.parametrize("rule", ["midpoint", "released"])
@pytest.mark.parametrize("kind", ["scalar", "released"])
def test_both_kinds_on_both_grids(kind, rule, tiny):
    formula = {"scalar": oracle.residual_scalar, "released": oracle.residual_released}[kind]
    args = (tiny.images["train"], "train", tiny.noise("residuals"), GRID[rule], tiny.abar)
    truth = formula(tiny.model, *args)
    ours = compute(tiny, kind=kind, timestep_rule=rule)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, truth, rtol=FLOAT32)
    assert truth.std() > 1e-4  # examples differ by far more than the tolerance


def test_draws_are_averaged(tiny):
    args = (tiny.images["train"], "train", tiny.noise("residuals"), GRID["midpoint"], tiny.abar)
    truth = oracle.residual_scalar(tiny.model, *args, draws=3)
    np.testing.assert_allclose(compute(tiny, draws=3), truth, rtol=FLOAT32)
    assert np.abs(compute(tiny, draws=1) / truth - 1).max() > 1e-3


def test_released_residuals_are_nearly_one_over_root_t(tiny):
    """mean / root of the sum of squares: at most 1 / sqrt(T), equal if s is constant over t."""
    ours = compute(tiny, kind="released")
    assert (ours <= 0.5 + 1e-6).all()
    assert (ours > 0.45).all()


def test_residuals_belong_to_the_example(tiny):
    order = [3, 0, 4, 2, 1]
    np.testing.assert_allclose(compute(tiny, order=order), compute(tiny)[order], rtol=FLOAT32)


def test_v_prediction_measures_the_velocity(tiny):
    process = Ddpm(DDPMScheduler(1000, beta_schedule="linear", prediction_type="v_prediction"))
    ours = compute(tiny, process, timesteps=1)
    for i, x in enumerate(tiny.images["train"]):
        eps = torch.as_tensor(tiny.noise("residuals")("train", i, 500, 0)).double()
        x = torch.as_tensor(x).double()
        out = oracle.predict(tiny.model, oracle.add_noise(x, 500, eps, tiny.abar), 500)
        v = tiny.abar[500] ** 0.5 * eps - (1 - tiny.abar[500]) ** 0.5 * x
        truth = (v.flatten() - out.detach()).square().mean().sqrt()
        np.testing.assert_allclose(ours[i], truth, rtol=FLOAT32)


def test_noise_is_not_that_of_the_features(tiny):
    args = (tiny.images["train"], "train", tiny.noise("features"), GRID["midpoint"], tiny.abar)
    assert np.abs(compute(tiny) / oracle.residual_scalar(tiny.model, *args) - 1).max() > 1e-3


def test_an_unknown_kind_is_refused(tiny):
    with pytest.raises(ValueError, match="scalar or released, got 'vector'"):
        compute(tiny, kind="vector")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_errors_by_timestep(tiny, prediction):
    process = Ddpm(DDPMScheduler(1000, beta_schedule="linear", prediction_type=prediction))
    x = torch.from_numpy(tiny.images["val"]).double()
    noise = tiny.noise("outputs")

    def noise_of(t):
        return torch.tensor(np.stack([noise("val", i, t, 0) for i in range(len(x))])).double()

    seen = []
    for t, wanted, predicted in residuals.errors_by_timestep(
        tiny.unet, process, x, noise_of, np.array([3, 700])
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
