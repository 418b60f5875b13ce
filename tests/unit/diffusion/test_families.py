"""Families of models: the same denoiser calls, files that diffusers opens, nothing else trained."""

import json
import re
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, LDMPipeline, VQModel

import tiny_pipelines
from dasbench import model_families, registry
from dasbench.diffusion import denoiser, model_inputs, outputs, sampling, timestep_grids, training
from dasbench.diffusion.families import latent, pixel, text_to_image
from dasbench.diffusion.process import Ddpm
from dasbench.errors import UserError
from dasbench.gradients import features, residuals, selection
from tiny import AXES, DIFFUSION, MODEL

SD = {
    "timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
}
LORA = {"rank": 2, "alpha": 4.0, "targets": ["to_q", "to_k", "to_v", "to_out.0"]}
TRAINING = {
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 0.01,
    "betas": [0.9, 0.999],
    "weight_decay": 0.0,
    "warmup_steps": 0,
    "warmup_fraction": 0.1,
    "schedule": "cosine",
    "ema_decay": None,
    "clip_norm": 1.0,
    "flip": True,
}
FEATURES = {
    "readout": "loss",
    "normalise": False,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 512,
    "norms": "exact",
}
LABELS = np.arange(6) % 3
IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, 1, 8, 8)).astype(np.float32)
ALL = np.ones(6, dtype=bool)


@pytest.fixture(scope="module")
def classes():
    """A class-conditional UNet2DModel whose classes matter, and the condition of six images."""
    model = {**MODEL, "num_class_embeds": 3}
    unet, process = pixel.build(model, DIFFUSION, (1, 8, 8), AXES)
    with torch.no_grad():
        unet.class_embedding.weight.mul_(20)
    return unet.eval(), process, pixel.condition(model, LABELS)


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """The model section of a tiny text-to-image experiment, its prompts, latents, a new network."""
    folder = tiny_pipelines.stable_diffusion(tmp_path_factory.mktemp("sd") / "pipeline")
    model = {"pretrained": str(folder), "lora": LORA, "prompt": "a {class} painting"}
    texts = [model["prompt"].replace("{class}", name) for name in ("zero", "one", "two")]
    prompts = text_to_image.embed(model, [*texts, ""])
    latents = text_to_image.encode(model, IMAGES)
    network, process = text_to_image.build(model, SD, latents.shape[1:], AXES)
    data = model_inputs.Data(
        torch.from_numpy(latents), None, text_to_image.condition(model, LABELS, prompts)
    )
    frozen = {n: p.clone() for n, p in network.named_parameters() if not p.requires_grad}
    accelerator = training.make_accelerator(1)
    training.train(accelerator, network, process, data, ALL, TRAINING, AXES)
    return model, prompts, data, network, process, frozen


def one_by_one(network, process, x, told, stream, timesteps):
    """Squared error of each image at each timestep by the slowest obvious code, [T, n]."""
    found = np.zeros((len(timesteps), len(x)))
    for k, t in enumerate(timesteps):
        abar = process.scheduler.alphas_cumprod[t]
        for i, one in enumerate(x):
            eps = torch.from_numpy(diffusion_noise(stream, i, int(t), x.shape[1:]))
            x_t = abar.sqrt() * torch.from_numpy(one) + (1 - abar).sqrt() * eps
            with torch.no_grad():
                out = network(x_t[None], torch.tensor([t]), **told(i)).sample[0]
            found[k, i] = (out - eps).square().mean()
    return found


def diffusion_noise(stream, i, t, shape):
    from dasbench.diffusion import noise

    return noise.draw("keyed", (*AXES, stream[0]), stream[1], [i], t, 0, shape)[0]


def test_the_registry_says_what_the_modules_say():
    for name, entry in model_families.FAMILIES.items():
        module = model_inputs.family(entry["module"])
        assert entry["files"] == module.FILES, name
        assert entry["member_files"] == module.MEMBER_FILES, name
        assert entry["latents"] == hasattr(module, "encode"), name
        assert entry["prompts"] == hasattr(module, "embed"), name
        assert set(entry["parameters"]) <= set(selection.SUBSETS), name
        assert hasattr(diffusers, entry["pipeline"]), name
        assert set(entry) == set(model_families.FAMILIES["pixel"]), name


def test_families_are_asked_and_never_compared():
    """Whatever depends on the kind of a model is in the registry or in the family's file."""
    package, names = Path(registry.__file__).parent, "|".join(model_families.FAMILIES)
    named = re.compile(rf"\"({names})\"|model\.family")
    found = {
        path.name
        for path in package.rglob("*")
        if path.suffix in {".py", ".j2"} and path.parent.name != "families"
        if named.search(path.read_text())
    }
    assert found == {"model_families.py"}


@pytest.mark.parametrize(
    ("model", "condition"),
    [
        ({"family": "pixel"}, None),
        ({"family": "latent", "num_class_embeds": None}, None),
        ({"family": "latent", "num_class_embeds": 3}, "classes"),
        ({"family": "text_to_image"}, "prompts"),
    ],
)
def test_the_condition_of_a_family(model, condition):
    assert model_families.condition(model) == condition


def test_outputs_and_residuals_tell_each_image_its_class(classes):
    unet, process, condition = classes

    def told(i):
        return {"class_labels": torch.tensor([LABELS[i]])}

    grid = timestep_grids.timestep_grid(2, 1000)
    even = outputs.grid(2, 1000)
    loss, _ = outputs.measure([unet], unet, process, IMAGES, "val", even, AXES, condition)
    expected = one_by_one(unet, process, IMAGES, told, ("outputs", "val"), grid)
    np.testing.assert_allclose(-loss[0], expected.mean(0), rtol=1e-4)
    untold = one_by_one(
        unet,
        process,
        IMAGES,
        lambda i: {"class_labels": torch.tensor([0])},
        ("outputs", "val"),
        grid,
    )
    assert np.abs(untold - expected)[:, LABELS > 0].min() > 1e-6
    settings = {"kind": "scalar", "timesteps": 2, "timestep_rule": "midpoint", "draws": 1}
    found = residuals.compute(unet, process, IMAGES, range(6), settings, AXES, condition)
    expected = one_by_one(unet, process, IMAGES, told, ("residuals", "train"), grid)
    np.testing.assert_allclose(found, np.sqrt(expected).mean(0), rtol=1e-4)


@pytest.mark.parametrize("projection", ["none", "kronecker"])
def test_features_tell_each_image_its_class(classes, projection):
    """Of one image alone, and among others; the other class gives another gradient."""
    unet, process, condition = classes
    settings = {**FEATURES, "projection": projection}
    extractor = features.Extractor(unet, process, settings, AXES)
    together = extractor(IMAGES, range(6), "train", condition)[0]
    for i in (0, 4):
        alone = extractor(IMAGES[[i]], [i], "train", condition[[i]])[0]
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-3, atol=1e-5)
        wrong = extractor(IMAGES[[i]], [i], "train", condition[[i + 1]])[0]
        assert np.abs(wrong - alone).max() > 1e-4


def test_samples_follow_their_class_and_batches_do_not_matter(classes):
    unet, process, condition = classes
    noise = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    made = sampling.sample(unet, process, noise, 3, condition=condition)
    parts = sampling.sample(unet, process, noise, 3, batch=4, condition=condition)
    torch.testing.assert_close(made, parts, rtol=1e-4, atol=1e-5)
    other = sampling.sample(unet, process, noise, 3, condition=condition[[1, 2, 0, 1, 2, 0]])
    assert (made - other).abs().amax((1, 2, 3)).min() > 1e-5


def test_a_label_outside_the_classes_is_refused():
    with pytest.raises(UserError, match="label 2; give at least 3"):
        pixel.condition({"num_class_embeds": 2}, LABELS)
    assert pixel.condition({}, LABELS) is None


@pytest.mark.parametrize("kind", [AutoencoderKL, VQModel])
def test_latents_are_means_and_the_pipeline_decodes_them(kind, tmp_path):
    autoencoder = tiny_pipelines.autoencoder(kind)
    autoencoder.save_pretrained(tmp_path / "frozen")
    model = {**MODEL, "pretrained": str(tmp_path / "frozen")}
    z = latent.encode(model, IMAGES)
    assert z.shape == (6, 4, 4, 4)
    with torch.no_grad():
        made = autoencoder.encode(torch.from_numpy(IMAGES))
        raw = made.latents if kind is VQModel else made.latent_dist.mean
        seen = autoencoder.decode(raw).sample.clamp(-1, 1).numpy()
    np.testing.assert_allclose(z, raw.numpy() * autoencoder.config.scaling_factor, atol=1e-6)
    np.testing.assert_allclose(latent.decode(model, z), seen, atol=1e-4)
    unet, process = latent.build(model, DIFFUSION, z.shape[1:], AXES)
    assert not process.scheduler.config.clip_sample
    latent.save(tmp_path / "base", unet, process, model)
    latent.save(tmp_path / "again", unet, process, model)
    for name in latent.FILES:
        content = (tmp_path / "base" / name).read_bytes()
        assert content == (tmp_path / "again" / name).read_bytes()
        assert str(tmp_path).encode() not in content
    pipeline = LDMPipeline.from_pretrained(tmp_path / "base")
    assert type(pipeline.vqvae) is kind
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline(num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 1)
    latent.save_member(tmp_path / "member", unet, process, model)
    files = {str(f.relative_to(tmp_path / "member")) for f in (tmp_path / "member").rglob("*.*")}
    assert files == set(latent.MEMBER_FILES)
    (one, two), _ = latent.load_members([tmp_path / "base", tmp_path / "member"])
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_an_autoencoder_of_other_channels_is_refused(tmp_path):
    tiny_pipelines.autoencoder(channels=3).save_pretrained(tmp_path / "frozen")
    with pytest.raises(UserError, match="images have 1 channels, but model.pretrained encodes 3"):
        latent.encode({"pretrained": str(tmp_path / "frozen")}, IMAGES)


def test_what_is_not_here_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        text_to_image.encode({"pretrained": "lambdalabs/miniSD-diffusers"}, IMAGES)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for part in ("4.3 GB", "OpenRAIL-M", "hf download lambdalabs/miniSD-diffusers", "data/"):
        assert part in sentence
    with pytest.raises(UserError, match="without scheduler"):
        text_to_image.build({"pretrained": str(tmp_path), "lora": LORA}, SD, (4, 4, 4), AXES)


def test_only_the_adapter_is_trained(painter):
    _, _, _, network, _, frozen = painter
    for name, weights in frozen.items():
        assert torch.equal(network.get_parameter(name), weights), name
    trained = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    moved = [p.abs().max() for n, p in network.named_parameters() if "lora_B" in n]
    assert min(moved) > 0  # zero before training


def test_the_adapter_opens_with_stable_diffusion(painter, tmp_path):
    from diffusers import StableDiffusionPipeline

    model, prompts, data, network, process, _ = painter
    text_to_image.save(tmp_path / "a", network, process, model)
    text_to_image.save(tmp_path / "b", network, process, model)
    (file,) = text_to_image.FILES
    assert [f.name for f in (tmp_path / "a").iterdir()] == [file]
    assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    t = torch.full((6,), 400)
    with torch.no_grad():
        expected = denoiser.predict(network, data.x, t, data.condition)
        pipeline = StableDiffusionPipeline.from_pretrained(model["pretrained"])
        pipeline.load_lora_weights(tmp_path / "a")
        told = torch.from_numpy(prompts)[LABELS]
        found = pipeline.unet(data.x, t, encoder_hidden_states=told).sample
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        words = pipeline.encode_prompt("a one painting", "cpu", 1, False)[0]
        torch.testing.assert_close(words[0], torch.from_numpy(prompts[1]), rtol=1e-4, atol=1e-5)
    loaded, _ = text_to_image.load(tmp_path / "a", "cpu", model)
    other, _ = text_to_image.build(model, SD, (4, 4, 4), (*AXES, 1))
    text_to_image.save(tmp_path / "c", other, process, model)
    members, _ = text_to_image.load_members([tmp_path / n for n in "ca"], "cpu", model)
    with torch.inference_mode():
        for again in (loaded, members[1]):
            made = denoiser.predict(again, data.x, t, data.condition)
            torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
        fresh = denoiser.predict(members[0], data.x, t, data.condition)
    assert (fresh - expected).abs().max() > 1e-4


def test_features_of_the_adapter_are_its_gradients(painter):
    """Unprojected, against autograd; and the fast projection keeps its inner products in view."""
    _, _, data, network, process, _ = painter
    x = data.x.numpy()
    settings = {**FEATURES, "parameters": "lora", "projection": "none"}
    extractor = features.Extractor(network, process, settings, AXES)
    found = extractor(x, range(6), "train", data.condition)[0]
    own = [p for n, p in network.named_parameters() if "lora_" in n]
    assert found.shape[1] == sum(p.numel() for p in own)
    expected = torch.zeros(found.shape[1])
    for t in timestep_grids.timestep_grid(2, 1000):
        eps = torch.from_numpy(diffusion_noise(("features", "train"), 3, int(t), x.shape[1:]))
        abar = process.scheduler.alphas_cumprod[t]
        x_t = abar.sqrt() * data.x[3] + (1 - abar).sqrt() * eps
        out = denoiser.predict(network, x_t[None], torch.tensor([t]), data.condition[[3]])
        gradients = torch.autograd.grad((out[0] - eps).square().mean(), own)
        expected += torch.cat([g.flatten() for g in gradients]) / 2
    np.testing.assert_allclose(found[3], expected, rtol=1e-3, atol=1e-6)
    wide = {**settings, "projection": "kronecker", "dimensions": found.shape[1]}
    fast = features.Extractor(network, process, wide, AXES)(x, range(6), "train", data.condition)
    np.testing.assert_allclose(fast[0] @ fast[0].T, found @ found.T, rtol=1e-3, atol=1e-8)


def test_guidance_moves_from_the_empty_prompt_to_the_prompt(painter):
    _, _, data, network, process, _ = painter
    noise = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    t = torch.tensor(700)
    with torch.no_grad():
        c = denoiser.predict(network, noise, t, data.condition)
        u = denoiser.predict(network, noise, t, data.condition.dropped())
        assert (c - u).abs().max() > 1e-5
        found = sampling._guided(network, noise, t, data.condition, 3.0)
    torch.testing.assert_close(found, u + 3 * (c - u))
    made = sampling.sample(network, process, noise, 2, condition=data.condition)
    assert made.abs().max() > 1  # latents are not clipped


def test_the_schedule_must_be_the_pipelines(painter):
    with pytest.raises(UserError, match="diffusion.beta_schedule is linear, but .* scaled_linear"):
        text_to_image.build(painter[0], {**SD, "beta_schedule": "linear"}, (4, 4, 4), AXES)


def test_mirrored_latents_are_used_where_there_are_any(classes):
    unet, process, condition = classes
    one, other = torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.5)
    seen = []

    def spy(x_t, t, **_):
        seen.append(x_t)
        return unet(x_t, t, class_labels=torch.tensor([0]))

    accelerator = type("P", (), {"process_index": 0, "num_processes": 1, "device": "cpu"})
    data = model_inputs.Data(one, other, condition[:1])
    for flip in (True, False):
        batch = (np.array([0]), np.array([0]), np.zeros((1, 1, 8, 8), "f4"), np.array([flip]))
        training._loss(accelerator, spy, process, data, batch, True)
    torch.testing.assert_close(seen[0], other * process.scheduler.alphas_cumprod[0].sqrt())
    assert not seen[1].any()


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_denoiser_samples_its_image(schedule, prediction):
    """Under every schedule and target: if the target is always that of one image, DDIM finds it."""
    process = Ddpm(DDPMScheduler(beta_schedule=schedule, prediction_type=prediction))
    image = torch.from_numpy(IMAGES[:1])

    def perfect(x_t, t):
        abar = process.scheduler.alphas_cumprod[t][:, None, None, None]
        eps = (x_t - abar.sqrt() * image) / (1 - abar).sqrt()
        return type("Output", (), {"sample": process.pair(image, eps, t)[1]})

    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    made = sampling.sample(perfect, process, noise, 20)
    torch.testing.assert_close(made, image, rtol=1e-2, atol=2e-2)


def test_numpy_integers_name_the_same_draw():
    from dasbench import seeds

    assert seeds.key("a", 3) == seeds.key("a", np.int64(3)) == seeds.key("a", np.uint8(3))
    assert seeds.key("a", 3) != seeds.key("a", "3")


def test_what_is_saved_says_nothing_of_this_machine(painter, tmp_path):
    model, _, _, network, process, _ = painter
    text_to_image.save(tmp_path / "a", network, process, model)
    content = (tmp_path / "a" / text_to_image.FILES[0]).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert model["pretrained"] not in json.dumps(header)
    assert list(header["__metadata__"]) == ["lora_adapter_metadata"]
