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
