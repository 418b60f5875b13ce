"""Find out from the files of a saved diffusers pipeline which model it is, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.core import artifacts
from dasbench.model_families import FAMILIES

ADAPTER = "pytorch_lora_weights.safetensors"


def takes(folder: Path) -> str | None:
    """The inputs of a pipeline's UNet: ``latents``, ``prompts``, or None for images.

    None is also the answer for a folder whose files do not say.

    Args:
        folder: Folder of a pipeline (``model_index.json``) or of LoRA weights.
    """
    return inputs(folder, _content(folder / "model_index.json"))


def inputs(folder: Path, index: Mapping[str, Any]) -> str | None:
    """As ``takes``, with the content of ``model_index.json``."""
    if (folder / ADAPTER).is_file() or "text_encoder" in index:
        return "prompts"
    return "latents" if "vqvae" in index or "vae" in index else None


def kind(folder: Path) -> str | None:
    """The class of diffusers that a folder names: a pipeline, or a transformer without one."""
    for file in (folder / "model_index.json", folder / "transformer/config.json"):
        if name := _content(file).get("_class_name"):
            return name
    return None


def family(kind: str | None) -> str | None:
    """The family of models whose folders a class of diffusers opens; None if there is none."""
    return next((name for name, entry in FAMILIES.items() if entry["pipeline"] == kind), None)


def _content(file: Path) -> dict[str, Any]:
    content = artifacts.load_json(file) if file.is_file() else {}
    return content if isinstance(content, dict) else {}
