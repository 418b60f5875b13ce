"""Adapters of SDXL, SD3 and FLUX pipelines: prompts, latents and predictions are diffusers' own."""

import diffusers
import numpy as np
import pytest
import torch

import tiny_pipelines
from dasbench.diffusion import denoiser, model_inputs, sampling, training
from dasbench.diffusion.families import pipeline_lora
from dasbench.errors import UserError
from dasbench.gradients import features
from tiny import AXES

KINDS = {
    "xl": (tiny_pipelines.stable_diffusion_xl, diffusers.StableDiffusionXLPipeline),
    "sd3": (tiny_pipelines.stable_diffusion_3, diffusers.StableDiffusion3Pipeline),
    "flux": (tiny_pipelines.flux, diffusers.FluxPipeline),
}
LORA = {"rank": 2, "alpha": 4.0, "targets": ["to_q", "to_k", "to_v", "to_out.0"]}
FLOW = {"process": "flow", "timesteps": 1000, "shift": 3.0}
RECIPE = {"weighting": "precondition", "timestep_sampling": "logit_normal"}
SD = {
    "process": "ddpm",
    "timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
}
TRAINING = {
    "epochs": 2,
    "batch_size": 3,
    "learning_rate": 0.01,
    "betas": [0.9, 0.999],
    "weight_decay": 0.0,
    "warmup_steps": 0,
    "schedule": "cosine",
    "ema_decay": None,
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
    "parameters": "lora",
}
LABELS = np.arange(5) % 2
IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 1, 8, 8)).astype(np.float32)
TEXTS = ["a one painting", "a two painting", ""]


class Trained:
    """A tiny pipeline of one kind, with a trained adapter."""

    def __init__(self, kind, folder):
        write, self.pipeline_class = KINDS[kind]
        self.kind, self.folder = kind, write(folder / "pipeline")
        self.model = {"pretrained": str(self.folder), "lora": LORA, "prompt": "a {class} painting"}
        self.diffusion = SD if kind == "xl" else {**FLOW, **RECIPE}
        self.prompts = pipeline_lora.embed(self.model, TEXTS)
        latents = pipeline_lora.encode(self.model, IMAGES)
        self.x = torch.from_numpy(latents)
        self.condition = pipeline_lora.condition(self.model, LABELS, self.prompts)
        self.network, self.process = pipeline_lora.build(
            self.model, self.diffusion, latents.shape[1:], AXES
        )
        data = model_inputs.Data(self.x, None, self.condition)
        accelerator = training.make_accelerator(1)
        training.train(
            accelerator, self.network, self.process, data, np.ones(5, bool), TRAINING, AXES
        )

    def pipeline(self):
        made = self.pipeline_class.from_pretrained(self.folder)
        made.set_progress_bar_config(disable=True)
        return made


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    return Trained(request.param, tmp_path_factory.mktemp(request.param))


def test_latents_are_those_of_the_pipeline(trained):
    """Decoding undoes scale and shift, as the pipeline does."""
    vae = trained.pipeline().vae
    with torch.no_grad():
        raw = vae.encode(torch.from_numpy(IMAGES)).latent_dist.mode()
        seen = vae.decode(raw).sample.clamp(-1, 1).numpy()
    shift = vae.config.shift_factor or 0
    np.testing.assert_allclose(trained.x, (raw - shift) * vae.config.scaling_factor, atol=1e-5)
    found = pipeline_lora.decode(trained.model, trained.x.numpy())
    np.testing.assert_allclose(found, seen, atol=1e-4)


def test_samples_are_those_of_the_pipeline_with_the_adapter(trained, tmp_path):
    """Prompts, adapter, process, grid of steps: all at once, from the same initial noise."""
    pipeline_lora.save(tmp_path / "a", trained.network, trained.process, trained.model)
    pipeline = trained.pipeline()
    noise = torch.randn(1, *trained.x.shape[1:], generator=torch.Generator().manual_seed(0))
    condition = trained.condition[[1]]
    plain = sampling.sample(trained.network, trained.process, noise, 4, condition=condition)
    pipeline.load_lora_weights(tmp_path / "a")
    if trained.kind == "xl":  # another sampler: compare its network alone
        words, _, pooled, _ = pipeline.encode_prompt(TEXTS[1], None, "cpu", 1, False)
        sizes = torch.tensor([[8.0, 8, 0, 0, 8, 8]])
        with torch.no_grad():
            expected = pipeline.unet(
                noise,
                torch.tensor(300),
                encoder_hidden_states=words,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            ).sample
            found = denoiser.predict(trained.network, noise, torch.tensor([300]), condition)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        return
    latents = noise
    if trained.kind == "flux":
        latents = pipeline._pack_latents(noise, 1, *noise.shape[1:])
    made = pipeline(
        TEXTS[1],
        height=8,
        width=8,
        latents=latents,
        guidance_scale=3.5 if trained.kind == "flux" else 1.0,
        num_inference_steps=4,
        output_type="latent",
    ).images
    if trained.kind == "flux":
        made = pipeline._unpack_latents(made, 8, 8, pipeline.vae_scale_factor)
    torch.testing.assert_close(plain, made, rtol=1e-3, atol=1e-4)


def test_the_empty_prompt_is_the_last_row(trained):
    pipeline = trained.pipeline()
    row = trained.prompts[-1]
    if trained.kind == "xl":
        assert not row.any()  # the pipeline forces zeros
        return
    encoded = (
        pipeline.encode_prompt("", None)
        if trained.kind == "flux"
        else (pipeline.encode_prompt("", None, None, do_classifier_free_guidance=False))
    )
    np.testing.assert_allclose(row[:-1], encoded[0][0].detach(), rtol=1e-4, atol=1e-5)


def test_only_the_adapter_is_trained_and_members_share_the_network(trained, tmp_path):
    names = {n for n, p in trained.network.named_parameters() if p.requires_grad}
    assert names
    assert all("lora_" in name for name in names)
    model = trained.model
    for name in "ab":
        pipeline_lora.save(tmp_path / name, trained.network, trained.process, model)
    (file,) = pipeline_lora.FILES
    assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    other, _ = pipeline_lora.build(model, trained.diffusion, trained.x.shape[1:], (*AXES, 1))
    pipeline_lora.save(tmp_path / "c", other, trained.process, model)
    again, process = pipeline_lora.load(tmp_path / "a", "cpu", model)
    members, _ = pipeline_lora.load_members([tmp_path / "c", tmp_path / "a"], "cpu", model)
    t = trained.process.time(torch.full((5,), 600))
    with torch.no_grad():
        expected = denoiser.predict(trained.network, trained.x, t, trained.condition)
        for network in (again, members[1]):
            found = denoiser.predict(network, trained.x, t, trained.condition)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        fresh = denoiser.predict(members[0], trained.x, t, trained.condition)
    assert (fresh - expected).abs().max() > 1e-4
    assert type(process) is type(trained.process)
    assert not process.bounded


@pytest.mark.parametrize("batch", [1, 16])
def test_features_are_exact_in_any_batch(trained, batch):
    def extracted(projection, size):
        settings = {**FEATURES, "projection": projection}
        extractor = features.Extractor(trained.network, trained.process, settings, AXES, size)
        return extractor(trained.x.numpy(), range(5), "train", trained.condition)[0]

    fast = extracted("kronecker", batch).astype(np.float64)
    slow = extracted("none", 16).astype(np.float64)
    scale = np.abs(slow @ slow.T).max()
    np.testing.assert_allclose(fast @ fast.T, slow @ slow.T, rtol=2e-3, atol=1e-5 * scale)


def test_half_precision_weights_are_upcast(tmp_path):
    folder = tiny_pipelines.stable_diffusion_3(tmp_path / "pipeline")
    diffusers.StableDiffusion3Pipeline.from_pretrained(
        folder, torch_dtype=torch.float16
    ).save_pretrained(tmp_path / "half")
    model = {"pretrained": str(tmp_path / "half"), "lora": LORA, "prompt": "a {class}"}
    network, _ = pipeline_lora.build(model, {**FLOW, **RECIPE}, (4, 4, 4), AXES)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert pipeline_lora.embed(model, TEXTS).dtype == np.float32


def test_other_pipelines_are_refused(tmp_path):
    folder = tiny_pipelines.stable_diffusion(tmp_path / "pipeline")
    model = {"pretrained": str(folder), "lora": LORA, "prompt": "a {class}"}
    with pytest.raises(UserError, match="is a StableDiffusionPipeline, expected one of .*Flux"):
        pipeline_lora.build(model, SD, (4, 4, 4), AXES)
    (folder / "model_index.json").unlink()
    with pytest.raises(UserError, match="is missing or names no class"):
        pipeline_lora.build(model, SD, (4, 4, 4), AXES)


def test_another_process_or_target_is_refused(trained):
    other = {"process": "ddpm" if trained.kind != "xl" else "flow"}
    for change in ({"timesteps": 500}, other):
        with pytest.raises(UserError, match=f"diffusion.{next(iter(change))} is"):
            pipeline_lora.build(
                trained.model, {**trained.diffusion, **change}, trained.x.shape[1:], AXES
            )
    model = {**trained.model, "lora": {**LORA, "targets": ["to_z"]}}
    with pytest.raises(UserError, match="targets is to_z, but no layer"):
        pipeline_lora.build(model, trained.diffusion, trained.x.shape[1:], AXES)
