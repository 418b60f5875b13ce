"""Samples of diffusers' own flow-matching pipelines, with tiny random transformers.

A pipeline states path, sign, time argument and sampling grid in code. The same transformer, called
by the row of ``flow.CONVENTIONS``, must reach the same latents.
"""

from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from dasbench.diffusion import sampling
from dasbench.diffusion.process import Flow

SIDE, CHANNELS, WORDS, STEPS = 8, 4, 5, 4


def build(kind, **config):
    torch.manual_seed(0)
    network = kind(**config).eval()
    for parameter in network.parameters():  # some layers start at zero
        torch.nn.init.normal_(parameter, std=0.05)
    return network


def scheduler(**config):
    return FlowMatchEulerDiscreteScheduler(**config)


def tokens(x):
    """[n, C, H, W] to [n, H W / 4, 4 C], the 2x2 packing of FLUX and Qwen-Image."""
    n, c, h, w = x.shape
    squares = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return squares.reshape(n, h * w // 4, 4 * c)


def images(x):
    n, _, c = x.shape
    squares = x.view(n, SIDE // 2, SIDE // 2, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return squares.reshape(n, c // 4, SIDE, SIDE)


def sd3(form):
    network = build(
        diffusers.SD3Transformer2DModel,
        sample_size=SIDE,
        patch_size=2,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        caption_projection_dim=16,
        pooled_projection_dim=8,
        pos_embed_max_size=8,
    )
    parts = dict.fromkeys(
        [f"{p}{i}" for p in ("text_encoder", "tokenizer") for i in ("", "_2", "_3")]
    )
    pipeline = diffusers.StableDiffusion3Pipeline(network, form, vae=None, **parts)
    words = {
        "encoder_hidden_states": torch.randn(1, WORDS, 16),
        "pooled_projections": torch.randn(1, 8),
    }

    def run(noise):
        return pipeline(
            prompt_embeds=words["encoder_hidden_states"],
            pooled_prompt_embeds=words["pooled_projections"],
            latents=noise,
            height=64,
            width=64,
            guidance_scale=1.0,
            num_inference_steps=STEPS,
            output_type="latent",
        ).images

    def call(x, time):
        return network(x, timestep=time, **words).sample

    return run, call


def flux(form):
    network = build(
        diffusers.FluxTransformer2DModel,
        in_channels=4 * CHANNELS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=8,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    pipeline = diffusers.FluxPipeline(form, None, None, None, None, None, network)
    words, pooled = torch.randn(1, WORDS, 16), torch.randn(1, 8)
    places = pipeline._prepare_latent_image_ids(
        1, SIDE // 2, SIDE // 2, torch.device("cpu"), torch.float32
    )

    def run(noise):
        latents = pipeline(
            prompt_embeds=words,
            pooled_prompt_embeds=pooled,
            latents=tokens(noise),
            height=64,
            width=64,
            guidance_scale=3.5,
            num_inference_steps=STEPS,
            output_type="latent",
        ).images
        return images(latents)

    def call(x, time):
        out = network(
            hidden_states=tokens(x),
            timestep=time,
            guidance=torch.full((1,), 3.5),
            pooled_projections=pooled,
            encoder_hidden_states=words,
            txt_ids=torch.zeros(WORDS, 3),
            img_ids=places,
        )
        return images(out.sample)

    return run, call


def qwen_image(form):
    network = build(
        diffusers.QwenImageTransformer2DModel,
        in_channels=4 * CHANNELS,
        out_channels=CHANNELS,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
    )
    pipeline = diffusers.QwenImagePipeline(form, None, None, None, network)
    words, mask = torch.randn(1, WORDS, 16), torch.ones(1, WORDS, dtype=torch.long)

    def run(noise):
        latents = pipeline(
            prompt_embeds=words,
            prompt_embeds_mask=mask,
            latents=tokens(noise),
            height=64,
            width=64,
            true_cfg_scale=1.0,
            num_inference_steps=STEPS,
            output_type="latent",
        ).images
        return images(latents)

    def call(x, time):
        out = network(
            hidden_states=tokens(x),
            timestep=time,
            encoder_hidden_states=words,
            encoder_hidden_states_mask=mask,
            img_shapes=[[(1, SIDE // 2, SIDE // 2)]],
        )
        return images(out.sample)

    return run, call


def lumina2(form):
    network = build(
        diffusers.Lumina2Transformer2DModel,
        sample_size=SIDE,
        in_channels=CHANNELS,
        hidden_size=16,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(20, 20, 20),
        cap_feat_dim=16,
    )
    pipeline = diffusers.Lumina2Pipeline(network, form, None, None, SimpleTokenizer())
    words, mask = torch.randn(1, WORDS, 16), torch.ones(1, WORDS, dtype=torch.long)

    def run(noise):
        return pipeline(
            prompt_embeds=words,
            prompt_attention_mask=mask,
            latents=noise,
            height=64,
            width=64,
            guidance_scale=1.0,
            num_inference_steps=STEPS,
            output_type="latent",
        ).images

    def call(x, time):
        out = network(
            hidden_states=x,
            timestep=time,
            encoder_hidden_states=words,
            encoder_attention_mask=mask,
        )
        return out.sample

    return run, call


class SimpleTokenizer:
    """Lumina 2's pipeline sets this attribute when it is made."""

    padding_side = "right"


def z_image(form):
    network = build(
        diffusers.ZImageTransformer2DModel,
        in_channels=CHANNELS,
        dim=16,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 2, 2],
        axes_lens=[64, 64, 64],
    )
    pipeline = diffusers.ZImagePipeline(form, None, None, None, network)
    words = torch.randn(WORDS, 16)

    def run(noise):
        return pipeline(
            prompt_embeds=[words],
            latents=noise,
            height=64,
            width=64,
            guidance_scale=0.0,
            num_inference_steps=STEPS,
            output_type="latent",
        ).images

    def call(x, time):
        out = network([one[:, None] for one in x], time, [words], return_dict=False)[0]
        return torch.stack(out).squeeze(2)

    return run, call


DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.3, "max_shift": 1.4}


@pytest.mark.parametrize("build_pipeline", [sd3, flux, qwen_image, lumina2, z_image])
@pytest.mark.parametrize("form", [{"shift": 3.0}, DYNAMIC], ids=["shift", "dynamic"])
def test_samples_are_those_of_the_pipeline(build_pipeline, form):
    run, call = build_pipeline(scheduler(**form))
    process = Flow(scheduler(**form), build_pipeline.__name__)

    def network(x, time):
        return SimpleNamespace(sample=call(x, time))

    noise = torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = run(noise.clone())
    ours = sampling.sample(network, process, noise, STEPS)
    assert (theirs - noise).abs().max() > 0.05
    torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-5)
