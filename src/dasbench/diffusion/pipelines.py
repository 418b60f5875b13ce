"""Find out from the files of a saved diffusers pipeline which inputs its UNet takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.core import artifacts


def takes(folder: Path) -> str | None:
    """The inputs of a pipeline's UNet: ``latents``, ``prompts``, or None for images.

    None is also the answer for a folder whose files do not say.

    Args:
        folder: Folder of a pipeline (``model_index.json``) or of LoRA weights.
    """
    index = folder / "model_index.json"
    content = artifacts.load_json(index) if index.is_file() else {}
    return inputs(folder, content if isinstance(content, dict) else {})


def inputs(folder: Path, index: Mapping[str, Any]) -> str | None:
    """As ``takes``, with the content of ``model_index.json``."""
    if (folder / "pytorch_lora_weights.safetensors").is_file() or "text_encoder" in index:
        return "prompts"
    return "latents" if "vqvae" in index or "vae" in index else None
