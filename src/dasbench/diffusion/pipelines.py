"""What the UNet of a saved diffusers pipeline works on, read from its files alone."""

from __future__ import annotations

from pathlib import Path

from dasbench.core import artifacts


def takes(folder: Path) -> str | None:
    """``latents`` or ``prompts`` if a pipeline's UNet takes these; None: images, for all it says.

    Args:
        folder: With ``model_index.json``, or LoRA weights.
    """
    index, lora = folder / "model_index.json", folder / "pytorch_lora_weights.safetensors"
    named = artifacts.load_json(index) if index.is_file() else {}
    parts = named if isinstance(named, dict) else {}
    if lora.is_file() or "text_encoder" in parts:
        return "prompts"
    return "latents" if "vqvae" in parts or "vae" in parts else None
