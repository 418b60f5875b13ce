"""The transformer families: what diffusers does with the folder, exact features, one class."""

import diffusers
import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import tiny_pipelines
from dasbench.diffusion import denoiser, model_inputs, sampling, training
from dasbench.diffusion import noise as noise_policies
from dasbench.diffusion.families import latent_transformer, transformer
from dasbench.errors import UserError
from dasbench.gradients import features, recorder
from tiny import AXES

MODEL = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8, "patch_size": 2}
FLOW = {
    "process": "flow",
    "timesteps": 1000,
    "shift": 1.0,
    "weighting": "none",
    "timestep_sampling": "logit_normal",
}
DDPM = {"process": "ddpm", "timesteps": 1000, "beta_schedule": "linear"}
DDPM |= {"prediction_type": "epsilon"}
TRAINING = {
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.01,
    "betas": [0.9, 0.999],
    "weight_decay": 0.0,
    "warmup_steps": 0,
    "schedule": "cosine",
    "ema_decay": 0.5,
    "clip_norm": 1.0,
    "flip": False,
}
FEATURES = {
    "readout": "loss",
    "normalise": False,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 10**6,
    "norms": "exact",
    "parameters": "weights",
}
IMAGES = np.random.default_rng(0).uniform(-1, 1, (18, 1, 8, 8)).astype(np.float32)
LABELS = np.arange(18) % 3
ALL = np.ones(18, dtype=bool)


def trained(model, diffusion):
    network, process = transformer.build(model, diffusion, (1, 8, 8), AXES)
    data = model_inputs.Data(torch.from_numpy(IMAGES), None, transformer.condition(model, LABELS))
    accelerator = training.make_accelerator(1)
    training.train(accelerator, network, process, data, ALL, TRAINING, AXES)
    return network, process, data.condition


@pytest.fixture(scope="module")
def classes():
    return trained({**MODEL, "num_class_embeds": 3}, FLOW)


@pytest.fixture(scope="module")
def noising():
    return trained(MODEL, DDPM)


@pytest.fixture(scope="module")
def plain():
    """A trained transformer without classes, and its process."""
    return trained(MODEL, FLOW)


def test_it_starts_as_the_identity():
    network, _ = transformer.build(MODEL, FLOW, (1, 8, 8), AXES)
    out = denoiser.predict(network, torch.from_numpy(IMAGES), torch.zeros(18))
    assert torch.equal(out, torch.zeros_like(out))


@pytest.mark.parametrize("kind", ["plain", "noising"])
def test_the_folder_opens_in_diffusers_and_gives_equal_bytes(kind, request, tmp_path):
    network, process, _ = request.getfixturevalue(kind)
    for name in "ab":
        transformer.save(tmp_path / name, network, process)
    for name in transformer.FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    theirs = diffusers.DiTTransformer2DModel.from_pretrained(
        tmp_path / "a", subfolder="transformer"
    )
    x, t = torch.from_numpy(IMAGES), torch.full((18,), 300)
    with torch.no_grad():
        expected = theirs.eval()(x, t, torch.zeros(18, dtype=torch.long)).sample
        torch.testing.assert_close(denoiser.predict(network, x, t), expected)
        again, loaded = transformer.load(tmp_path / "a")
        torch.testing.assert_close(denoiser.predict(again, x, t), expected)
        (one, two), _ = transformer.load_members([tmp_path / "a", tmp_path / "b"])
        torch.testing.assert_close(denoiser.predict(two, x, t), expected)
    assert (type(loaded), loaded.bounded) == (type(process), True)
    assert loaded.settings["timesteps"] == 1000
    noise = torch.randn(3, 1, 8, 8)
    made = sampling.sample(again, loaded, noise, 4)
    torch.testing.assert_close(made, sampling.sample(network, process, noise, 4))
    assert made.abs().max() <= 1


def test_a_damaged_folder_is_one_sentence(plain, tmp_path):
    network, process, _ = plain
    transformer.save(tmp_path, network, process)
    (tmp_path / "transformer/config.json").write_text('{"num_layers": 1}')
    with pytest.raises(UserError, match="is damaged"):
        transformer.load(tmp_path)
    (tmp_path / "transformer/config.json").unlink()
    with pytest.raises(UserError, match=r"config.json is missing"):
        transformer.load(tmp_path)


def test_no_label_is_dropped_in_training(classes):
    network, _, condition = classes
    x, t = torch.from_numpy(IMAGES), torch.full((18,), 300)
    outs = [denoiser.predict(network.train(), x, t, condition) for _ in range(5)]
    network.eval()
    assert all(torch.equal(outs[0], out) for out in outs)
    with pytest.raises(ValueError, match="3 classes needs labels"):
        denoiser.predict(network, x, t)
    other = denoiser.predict(network, x, t, condition[torch.arange(18).roll(1)])
    assert (other - outs[0]).abs().amax((1, 2, 3)).min() > 1e-6


def autograd(network, process, i, condition):
    """The feature of image i: the gradient of its loss by autograd, mean over two timesteps."""
    weights = [p for n, p in network.named_parameters() if p.requires_grad]
    total = 0
    for t in (250, 750):
        eps = noise_policies.draw("keyed", (*AXES, "features"), "train", [i], t, 0, (1, 8, 8))
        steps = torch.tensor([t])
        x_t, target = process.pair(torch.from_numpy(IMAGES[[i]]), torch.from_numpy(eps), steps)
        out = denoiser.predict(network, x_t, process.time(steps), condition and condition[[i]])
        gradients = torch.autograd.grad((out - target).square().mean(), weights)
        total = total + torch.cat([g.flatten() for g in gradients]) / 2
    return total.numpy()


@pytest.mark.parametrize("kind", ["plain", "classes", "noising"])
def test_features_are_exact_although_the_first_norm_runs_twice(kind, request):
    """Block 0 embeds time and class for itself and for the output: the parts must be added."""
    network, process, condition = request.getfixturevalue(kind)
    extractor = features.Extractor(network, process, {**FEATURES, "projection": "kronecker"}, AXES)
    phi = extractor(IMAGES, range(18), "train", condition)[0].astype(np.float64)
    expected = np.stack([autograd(network, process, i, condition) for i in range(18)])
    scale = np.abs(expected @ expected.T).max()
    np.testing.assert_allclose(phi @ phi.T, expected @ expected.T, rtol=1e-3, atol=1e-5 * scale)
    dense = features.Extractor(network, process, {**FEATURES, "projection": "none"}, AXES)
    np.testing.assert_allclose(
        dense(IMAGES, range(18), "train", condition)[0], expected, rtol=1e-3, atol=1e-5
    )


def test_exact_norms_count_both_runs(plain):
    network, process, _ = plain
    settings = {**FEATURES, "projection": "kronecker", "dimensions": 3000, "normalise": True}
    settings |= {"timesteps": 1}
    wide = {**settings, "normalise": False, "projection": "none"}
    lengths = features.Extractor(network, process, wide, AXES)(IMAGES, range(18), "train")[0]
    unit = features.Extractor(network, process, settings, AXES)(IMAGES, range(18), "train")[0]
    raw = features.Extractor(network, process, {**settings, "normalise": False}, AXES)
    raw = raw(IMAGES, range(18), "train")[0]
    norms = np.linalg.norm(lengths, axis=1, keepdims=True)
    np.testing.assert_allclose(unit * norms, raw, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 16])
def test_batches_checkpointing_and_attention_backends_change_nothing(plain, batch):
    network, process, _ = plain
    settings = {**FEATURES, "projection": "kronecker", "dimensions": 3000}

    def phi(size):
        extractor = features.Extractor(network, process, settings, AXES, size)
        return extractor(IMAGES, range(18), "train")[0]

    expected = phi(18)
    close = {"rtol": 1e-3, "atol": 1e-5 * np.abs(expected).max()}
    np.testing.assert_allclose(phi(batch), expected, **close)
    network.enable_gradient_checkpointing()
    try:
        np.testing.assert_allclose(phi(batch), expected, **close)
    finally:
        network.disable_gradient_checkpointing()
    for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):
        with sdpa_kernel([backend, SDPBackend.MATH]):
            np.testing.assert_allclose(phi(batch), expected, **close)


def test_ekfac_sees_both_runs(plain):
    network, process, _ = plain
    made = recorder.Recorder(network, "weights")
    t = torch.full((4,), 500)
    x_t, target = process.pair(torch.from_numpy(IMAGES[:4]), torch.randn(4, 1, 8, 8), t)
    found = made.losses(x_t, process.time(t), target)
    name = "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2"
    for i in range(4):
        out = denoiser.predict(network, x_t[[i]], process.time(t[[i]]))
        loss = (out - target[[i]]).square().mean()
        layer = network.get_submodule(name)
        weight, bias = torch.autograd.grad(loss, [layer.weight, layer.bias])
        expected = torch.cat([weight, bias[:, None]], 1)
        torch.testing.assert_close(found[name][i, 0], expected, rtol=1e-3, atol=1e-6)


def test_latents_are_saved_as_a_pipeline(tmp_path):
    tiny_pipelines.autoencoder().save_pretrained(tmp_path / "frozen")
    model = {**MODEL, "pretrained": str(tmp_path / "frozen")}
    z = latent_transformer.encode(model, IMAGES)
    network, process = latent_transformer.build(model, DDPM, z.shape[1:], AXES)
    assert not process.bounded
    latent_transformer.save(tmp_path / "base", network, process, model)
    assert all((tmp_path / "base" / name).is_file() for name in latent_transformer.FILES)
    pipeline = diffusers.DiTPipeline.from_pretrained(tmp_path / "base")
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline([0], guidance_scale=1.0, num_inference_steps=2, output_type="np")
    assert made.images.shape == (1, 8, 8, 1)
    latent_transformer.save_member(tmp_path / "member", network, process, model)
    files = {str(f.relative_to(tmp_path / "member")) for f in (tmp_path / "member").rglob("*.*")}
    assert files == set(latent_transformer.MEMBER_FILES)
    _, loaded = latent_transformer.load(tmp_path / "member")
    assert not loaded.bounded
    flowing, flow = latent_transformer.build(model, FLOW, z.shape[1:], AXES)
    latent_transformer.save(tmp_path / "flow", flowing, flow, model)
    _, loaded = latent_transformer.load(tmp_path / "flow")
    assert (type(loaded), loaded.bounded) == (type(flow), False)
