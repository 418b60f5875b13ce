"""Gradient features against the oracle's loops, in float64."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

import oracle
from dasbench.diffusion.families import pixel
from dasbench.diffusion.process import Ddpm
from dasbench.gradients import features
from dasbench.gradients.projection import Projection
from tiny import AXES, DIFFUSION, MODEL, SHAPE

FORM = {
    "readout": "mean",
    "normalise": False,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 7,
    "projection": "none",
}
GRID = {"midpoint": [250, 750], "released": [0, 500]}


def settings(**changes):
    return {**FORM, **changes}


def examples(tiny, split, policy):
    return range(len(tiny.ids[split])) if policy == "batch" else tiny.ids[split]


def compare(tiny, compute, split="train", **changes):
    """Both sides of one comparison, [n, P] float64."""
    form = settings(**changes)
    ours = compute(
        tiny.unet,
        tiny.process,
        tiny.images[split],
        examples(tiny, split, form["noise"]),
        split,
        form,
        AXES,
    )
    kind, dimensions = form["projection"], form["dimensions"]
    theirs = oracle.features(
        tiny.model,
        tiny.images[split],
        split,
        tiny.noise("features", form["noise"]),
        GRID[form["timestep_rule"]],
        form["draws"],
        form["readout"],
        form["normalise"],
        tiny.abar,
        projection=None
        if kind == "none"
        else Projection(kind, tiny.parameters, dimensions, AXES).matrix(),
    )
    assert ours.shape == theirs.shape
    assert np.linalg.norm(theirs, axis=1).min() > 1e-6
    error = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    assert error.max() < 1e-8, error
    return ours


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("readout", features.READOUTS)
def test_every_readout(readout, normalise, tiny, features64):
    compare(tiny, features64, readout=readout, normalise=normalise)


@pytest.mark.parametrize("split", ["train", "val", "gen"])
@pytest.mark.parametrize("policy", ["keyed", "common", "batch"])
def test_every_noise_policy_and_split(policy, split, tiny, features64):
    compare(tiny, features64, split, noise=policy, readout="loss")


@pytest.mark.parametrize("rule", ["midpoint", "released"])
@pytest.mark.parametrize("projection", ["none", "rademacher", "gaussian"])
def test_every_projection_and_timestep_rule(projection, rule, tiny, features64):
    compare(tiny, features64, projection=projection, timestep_rule=rule, normalise=True)


@pytest.mark.parametrize("normalise", [True, False])
def test_draws_are_averaged(normalise, tiny, features64):
    several = compare(tiny, features64, draws=3, normalise=normalise, readout="square")
    one = compare(tiny, features64, draws=1, normalise=normalise, readout="square")
    assert np.abs(several - one).max() > 1e-3 * np.abs(one).max()


def test_the_registered_readouts_are_those_of_the_method():
    assert set(features.READOUTS) == {"loss", "square", "mean", "l1", "l2", "linf"}
    wanted = torch.tensor([[[1.0, 0.0], [2.0, 1.0]]])
    out = torch.tensor([[[3.0, -4.0], [0.0, 0.0]]])
    values = {name: float(f(wanted, out)) for name, f in features.READOUTS.items()}
    expected = {"loss": (4 + 16 + 4 + 1) / 4, "square": 25 / 4, "mean": -1 / 4, "l1": 7 / 4}
    assert values == {**expected, "l2": 5.0, "linf": 4.0}


def test_gradients_are_in_the_order_of_the_parameters(tiny):
    x = torch.from_numpy(tiny.images["train"][:2]).double()
    t, wanted = torch.tensor([10, 600]), torch.zeros(2, *SHAPE, dtype=torch.float64)
    gradients = features.per_example_gradients(tiny.unet, "loss")(x, t, wanted)
    for i in range(2):
        loss = (tiny.unet(x[i : i + 1], t[i]).sample ** 2).mean()
        parameters = list(tiny.unet.parameters())
        truth = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
        torch.testing.assert_close(gradients[i], truth, rtol=1e-9, atol=1e-12)
    assert not gradients.requires_grad


def test_v_prediction_changes_the_target_of_the_loss(tiny, features64):
    process = Ddpm(DDPMScheduler(1000, beta_schedule="linear", prediction_type="v_prediction"))
    args = (tiny.images["val"], tiny.ids["val"], "val", settings(readout="loss"), AXES)
    ours = features64(tiny.unet, process, *args)

    def velocity_gradient(i, t):
        x, eps = (
            torch.as_tensor(a).double()
            for a in (tiny.images["val"][i], tiny.noise("features")("val", i, t, 0))
        )
        v = tiny.abar[t] ** 0.5 * eps - (1 - tiny.abar[t]) ** 0.5 * x
        out = oracle.predict(tiny.model, oracle.add_noise(x, t, eps, tiny.abar), t)
        return oracle._gradient(tiny.model, oracle.readout(v, out, "loss"))

    for i in range(3):
        truth = sum(velocity_gradient(i, t) for t in GRID["midpoint"]) / 2
        np.testing.assert_allclose(ours[i], truth, rtol=0, atol=1e-9 * np.abs(truth).max())


@pytest.fixture(scope="module")
def single():
    """The float32 UNet that is used in earnest, with more images than the noise has periods."""
    unet, process = pixel.build(MODEL, DIFFUSION, SHAPE, (*AXES, "base", 0, 0))
    images = np.random.default_rng(5).uniform(-1, 1, (21, *SHAPE)).astype(np.float32)
    return unet.eval(), process, images, np.random.default_rng(6).permutation(100)[:21]


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize("policy", ["keyed", "common", "batch"])
@pytest.mark.parametrize("batch", [1, 2, 5, 20])  # 8 times as many are projected at once
def test_features_do_not_depend_on_the_batch(policy, batch, single):
    unet, process, images, ids = single
    ids = np.arange(21) if policy == "batch" else ids
    form = settings(noise=policy, normalise=True, projection="rademacher", dimensions=40)
    args = (unet, process, images, ids, "train", form, AXES)
    # float32 rounding alone: products of other sizes sum in another order
    assert relative(features.compute(*args, batch=batch), features.compute(*args)) < 1e-4


@pytest.mark.parametrize("policy", ["keyed", "common"])
def test_permuting_examples_permutes_features(policy, single):
    unet, process, images, ids = single
    form = settings(noise=policy, normalise=True, projection="gaussian", dimensions=40)
    phi = features.compute(unet, process, images, ids, "train", form, AXES)
    order = np.random.default_rng(0).permutation(21)
    shuffled = features.compute(unet, process, images[order], ids[order], "train", form, AXES)
    assert relative(shuffled, phi[order]) < 1e-4
    assert relative(shuffled, phi) > 0.01


def test_batch_noise_depends_on_the_position_and_repeats_after_sixteen(single):
    unet, process, images, _ = single
    form = settings(noise="batch")
    same = np.repeat(images[:1], 21, axis=0)
    phi = features.compute(unet, process, same, range(21), "train", form, AXES)
    assert relative(phi[16:], phi[:5]) < 1e-5
    for i in range(1, 16):
        assert relative(phi[i], phi[0]) > 1e-3
    common = features.compute(
        unet, process, same, range(21), "train", settings(noise="common"), AXES
    )
    assert relative(common, common[[0] * 21]) < 1e-5


def test_common_noise_gives_one_image_the_same_features_in_every_split(single):
    unet, process, images, _ = single

    def phi(split, position, policy):
        form = settings(noise=policy)
        return features.compute(unet, process, images[:1], [position], split, form, AXES)

    for policy in ("common", "keyed"):
        other = [phi("val", 0, policy), phi("gen", 7, policy), phi("train", 3, policy)]
        differences = [relative(each, phi("train", 0, policy)) for each in other]
        if policy == "common":
            assert max(differences) == 0
        else:
            assert min(differences) > 1e-3


def test_streams_and_projection_belong_to_the_axes(single):
    unet, process, images, ids = single

    def phi(axes, **changes):
        return features.compute(unet, process, images, ids, "train", settings(**changes), axes)

    assert np.array_equal(phi(AXES), phi(AXES))
    assert relative(phi((*AXES, 1)), phi(AXES)) > 1e-3


def test_normalised_gradients_average_to_a_length_below_one(tiny, features64):
    args = (tiny.unet, tiny.process, tiny.images["train"], tiny.ids["train"], "train")
    one = features64(*args, settings(normalise=True, timesteps=1), AXES)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, rtol=1e-12)
    two = features64(*args, settings(normalise=True), AXES)
    assert (np.linalg.norm(two, axis=1) < 1).all()


def test_unknown_names_are_refused(tiny):
    args = (tiny.unet, tiny.process, tiny.images["val"], tiny.ids["val"], "val")
    for change, names in (
        ({"readout": "huber"}, "readout must be one of .*got 'huber'"),
        ({"noise": "none"}, "noise policy must be one of .*got 'none'"),
        ({"projection": "sjlt"}, "projection must be one of .*got 'sjlt'"),
    ):
        with pytest.raises(ValueError, match=names):
            features.compute(*args, settings(**change), AXES)
