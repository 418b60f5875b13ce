"""Frozen parts of pipelines with random weights, small enough to write and run in a test."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel, VQModel

WORDS = ("a", "zero", "one", "two", "painting", "of")
SEQUENCE, WIDTH = 8, 16
_BLOCKS = {
    "block_out_channels": [8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "norm_num_groups": 4,
    "layers_per_block": 1,
}


def autoencoder(kind=AutoencoderKL, channels=1, latent_channels=4):
    """Halves height and width."""
    torch.manual_seed(5)
    more = {"num_vq_embeddings": 16} if kind is VQModel else {}
    made = kind(
        in_channels=channels,
        out_channels=channels,
        latent_channels=latent_channels,
        **_BLOCKS,
        **more,
    )
    return made.eval()


def write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer whose vocabulary is single characters and a few words."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    merges, pieces = [], set()
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            pair = tuple(parts[:2])
            if pair not in merges:
                merges.append(pair)
            parts = ["".join(pair), *parts[2:]]
            pieces.add(parts[0])
    names = [*letters, *(f"{letter}</w>" for letter in letters)]
    names += sorted(pieces - set(names)) + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def tokenizer(folder: Path):
    """The tokenizer of ``write_tokenizer``, written beside ``folder``."""
    from transformers import CLIPTokenizer

    if not (folder.parent / "vocabulary").exists():
        write_tokenizer(folder.parent / "vocabulary")
    return CLIPTokenizer(
        str(folder.parent / "vocabulary/vocab.json"),
        str(folder.parent / "vocabulary/merges.txt"),
        model_max_length=SEQUENCE,
    )


def text_encoder(words, kind="CLIPTextModel", width=WIDTH):
    """A CLIP text encoder of one layer; the other kind has a projection of the pooled output."""
    import transformers

    torch.manual_seed(6)
    return getattr(transformers, kind)(
        transformers.CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=16,
            projection_dim=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=SEQUENCE,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )


def t5(words, width=WIDTH):
    """A T5 encoder of one layer, for the tokens of a CLIP tokenizer."""
    import transformers

    torch.manual_seed(7)
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=len(words), d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2
        )
    ).eval()


def drawn(network):
    """The network with random weights, also where its layers start at zero."""
    generator = torch.Generator().manual_seed(8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return network.eval()


def stable_diffusion_xl(folder: Path, channels: int = 1) -> Path:
    """A whole Stable Diffusion XL pipeline."""
    import diffusers

    words = tokenizer(folder)
    unet = UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=WIDTH + 6 * 4,
    )
    diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(channels=channels),
        text_encoder=text_encoder(words),
        text_encoder_2=text_encoder(words, "CLIPTextModelWithProjection"),
        tokenizer=words,
        tokenizer_2=words,
        unet=drawn(unet),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
        ),
    ).save_pretrained(folder)
    return folder


def stable_diffusion_3(folder: Path, channels: int = 1, **schedule) -> Path:
    """A whole Stable Diffusion 3 pipeline."""
    import diffusers

    words = tokenizer(folder)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=8,
        qk_norm="rms_norm",
    )
    encoders = [text_encoder(words, "CLIPTextModelWithProjection") for _ in range(2)]
    vae = autoencoder(channels=channels)
    vae.register_to_config(shift_factor=0.3)
    diffusers.StableDiffusion3Pipeline(
        transformer=drawn(transformer),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **schedule}),
        vae=vae,
        text_encoder=encoders[0],
        tokenizer=words,
        text_encoder_2=encoders[1],
        tokenizer_2=words,
        text_encoder_3=t5(words, 2 * WIDTH),
        tokenizer_3=words,
    ).save_pretrained(folder)
    return folder


def flux(folder: Path, channels: int = 1, **schedule) -> Path:
    """A whole FLUX pipeline, with embedded guidance and a dynamic shift."""
    import diffusers

    words = tokenizer(folder)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    vae = autoencoder(channels=channels)
    vae.register_to_config(shift_factor=0.1)
    diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            **{"shift": 3.0, "use_dynamic_shifting": True, **schedule}
        ),
        vae=vae,
        text_encoder=text_encoder(words),
        tokenizer=words,
        text_encoder_2=t5(words),
        tokenizer_2=words,
        transformer=drawn(transformer),
    ).save_pretrained(folder)
    return folder


def stable_diffusion(folder: Path, channels: int = 1, **schedule) -> Path:
    """A whole Stable Diffusion pipeline of a few thousand weights, as diffusers saves it."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    write_tokenizer(folder.parent / "vocabulary")
    tokenizer = CLIPTokenizer(
        str(folder.parent / "vocabulary/vocab.json"),
        str(folder.parent / "vocabulary/merges.txt"),
        model_max_length=SEQUENCE,
    )
    torch.manual_seed(6)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=SEQUENCE,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=WIDTH,
    )
    sd = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    sd |= {"steps_offset": 1, "clip_sample": False}
    pipeline = StableDiffusionPipeline(
        vae=autoencoder(channels=channels),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDPMScheduler(**{**sd, **schedule}),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    """A whole CLIP model, text side included, as it lies on the hub: safetensors."""
    import transformers

    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    size |= {"num_attention_heads": 2}
    vision = {**size, "image_size": 12, "patch_size": 4}
    config = transformers.CLIPConfig(
        text_config={**size, "vocab_size": 50}, vision_config=vision, projection_dim=8
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(folder, safe_serialization=True)
    return folder
