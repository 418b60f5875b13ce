"""Adapters that other tools trained: files in the formats of diffusers, peft and kohya.

Diffusers' own loader of the pipeline converts kohya's names. Kohya scales each layer by its own
alpha / rank. If alphas differ in a file for a UNet, diffusers 0.42 loses them without a word; here
each layer has its own. A folder of peft has ``adapter_config.json`` beside the weights, with rank
and alpha.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from dasbench.diffusion import checkpoints
from dasbench.errors import UserError, first_line

_PEFT = "base_model.model."
_DORA = ("lora_magnitude_vector", "dora_scale")
_SHOWN = 5  # unknown keys in a sentence


def load(
    network: torch.nn.Module, path: str | Path, pipeline: type, prefix: str, name: str = "default"
) -> torch.nn.Module:
    """Add the adapter of a file to a frozen network; its weights require gradients.

    Args:
        network: The network of the pipeline that is adapted.
        path: A ``.safetensors`` file, or the folder with one.
        pipeline: Class of the pipeline, such as ``diffusers.FluxPipeline``.
        prefix: Name of the network in it.
        name: Name of the new adapter.

    Raises:
        UserError: If there is no such file, it cannot be read, or some of its keys belong to no
            layer of the network; it lists them.
    """
    file = _file(Path(path))
    try:
        keys = load_file(file)
    except Exception as error:  # a damaged file raises anything
        raise _unreadable(file, pipeline, error) from error
    if decomposed := [key for key in keys if any(word in key for word in _DORA)]:
        raise UserError(
            f"{file} is a DoRA ({decomposed[0]}), whose magnitudes are not read here; expected a "
            "plain LoRA"
        )
    try:
        if any(key.startswith(_PEFT) for key in keys):
            state, alphas, metadata = _of_peft(keys, file, prefix)
        else:
            state, alphas, metadata = _of_pipeline(file, pipeline, network)
    except Exception as error:  # keys of another kind of adapter make the libraries raise anything
        raise _unreadable(file, pipeline, error) from error
    _check_keys(state, network, prefix, file)
    options = {"metadata": metadata} if metadata else {"network_alphas": alphas}
    try:
        network.load_lora_adapter(state, prefix=prefix, adapter_name=name, **options)
    except Exception as error:  # other sizes make the libraries raise anything, too
        raise UserError(
            f"{file} does not fit the {type(network).__name__} ({first_line(error)}); an adapter "
            "of this network alone is supported"
        ) from error
    if alphas:
        known = _alphas(alphas, prefix)
        for layer, adapted in network.named_modules():
            if name in getattr(adapted, "r", ()):  # without an alpha, kohya's scale is 1
                adapted.scaling[name] = known.get(layer, adapted.r[name]) / adapted.r[name]
    checkpoints.check_finite(network, file)
    for full, parameter in network.named_parameters():
        parameter.requires_grad_(f".{name}." in full and "lora_" in full)
    return network


def _file(path: Path) -> Path:
    """The only ``.safetensors`` file of a folder, or the file itself."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if path.is_file() and path.suffix != ".safetensors":
        raise UserError(f"{path} is no .safetensors file; expected one, with an adapter's weights")
    if len(files) != 1 or files[0].suffix != ".safetensors" or not files[0].is_file():
        raise UserError(
            f"{path} has {len(files) if path.is_dir() else 'no'} .safetensors files; expected one, "
            "with the weights of an adapter"
        )
    return files[0]


def _unreadable(file: Path, pipeline: type, error: Exception) -> UserError:
    return UserError(
        f"{file} cannot be read as an adapter of a {pipeline.__name__} ({first_line(error)}); "
        "expected the format of diffusers, peft or kohya"
    )


def _of_peft(
    keys: Mapping[str, torch.Tensor], file: Path, prefix: str
) -> tuple[dict[str, torch.Tensor], None, dict[str, Any]]:
    """Weights and settings of a folder that peft saved."""
    settings = json.loads((file.parent / "adapter_config.json").read_text(encoding="utf-8"))
    state = {f"{prefix}.{key.removeprefix(_PEFT)}": value for key, value in keys.items()}
    wanted = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "use_rslora")
    return state, None, {f"{prefix}.{k}": settings[k] for k in wanted if k in settings}


def _of_pipeline(
    file: Path, pipeline: Any, network: torch.nn.Module
) -> tuple[dict[str, torch.Tensor], Mapping[str, Any] | None, dict[str, Any] | None]:
    """Weights, alphas and settings as ``load_lora_weights`` of the pipeline reads them."""
    options: dict[str, Any] = {"return_lora_metadata": True, "use_safetensors": True}
    options |= {"weight_name": file.name, "local_files_only": True}
    if hasattr(network, "down_blocks"):
        options["unet_config"] = network.config
    elif "return_alphas" in pipeline.lora_state_dict.__code__.co_varnames:
        options["return_alphas"] = True
    found = pipeline.lora_state_dict(str(file.parent), **options)
    state, *more = found if isinstance(found, tuple) else (found,)
    metadata = more.pop() if more else None
    return state, more[0] if more else None, metadata


def _alphas(alphas: Mapping[str, Any] | None, prefix: str) -> dict[str, float]:
    """Alpha of each layer by its name, from diffusers' names of kohya's alphas."""
    found = {}
    for key, alpha in (alphas or {}).items():
        layer = key.removeprefix(f"{prefix}.")
        stem, processor, rest = layer.partition(".processor.")
        if processor:  # attn1.processor.to_out_lora.down.weight.alpha
            part = rest.partition("_lora")[0]
            found[f"{stem}.{part}" + ".0" * (part == "to_out")] = float(alpha)
        else:
            found[layer.partition(".lora")[0].removesuffix(".alpha")] = float(alpha)
    return found


def _check_keys(
    state: Mapping[str, torch.Tensor], network: torch.nn.Module, prefix: str, file: Path
) -> None:
    """Refuse keys that belong to no layer of the network."""
    modules = {name for name, _ in network.named_modules()}
    unknown = []
    for key in state:
        layer = key.removeprefix(f"{prefix}.")
        for part in (".lora", ".processor", ".alpha"):
            layer = layer.partition(part)[0]
        if layer == key or not key.startswith(f"{prefix}.") or layer not in modules:
            unknown.append(key)
    if unknown:
        more = len(unknown) - _SHOWN
        listed = ", ".join(unknown[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise UserError(
            f"{file} has {len(unknown)} of {len(state)} keys that belong to no layer of the "
            f"{type(network).__name__}: {listed}; an adapter of this network alone is supported"
        )
