"""Find out from the files of a saved diffusers pipeline which inputs its UNet takes."""

from __future__ import annotations

from pathlib import Path

from dasbench.core import artifacts


def takes(folder: Path) -> str | None:
    """The inputs of a pipeline's UNet: ``latents``, ``prompts``, or None for images.

    None is also the answer for a folder whose files do not say.

    Args:
        folder: Folder of a pipeline (``model_index.json``) or of LoRA weights.
    """
    index, lora = folder / "model_index.json", folder / "pytorch_lora_weights.safetensors"
    content = artifacts.load_json(index) if index.is_file() else {}
    parts = content if isinstance(content, dict) else {}
    if lora.is_file() or "text_encoder" in parts:
        return "prompts"
    return "latents" if "vqvae" in parts or "vae" in parts else None
