"""Size of a UNet without building it: floating point operations and parameters from its settings.

Every plan needs these numbers, because requested memory and time depend on them, and importing
torch takes seconds. So this module counts the usual blocks by formula. A model with any other block
is built on torch's meta device and counted there. Both ways give the same numbers.

Symbols: C channels, H and W height and width, L = H W positions, E width of the time embedding.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench import model_families
from dasbench.errors import UserError, first_line
from dasbench.planning import transformer_cost
from dasbench.planning.model_size import Size, conv, linear, norm

# operations of a Stable Diffusion 1 autoencoder per number of an image
AUTOENCODER = 1_400_000
# channels of latents, and by how much height and width shrink, without the autoencoder's config
_LATENT_CHANNELS, _SHRINKS = 4, 8
# the formulas below hold for these values of diffusers' settings
_USUAL = {
    "down_block_types": {"DownBlock2D", "AttnDownBlock2D"},
    "up_block_types": {"UpBlock2D", "AttnUpBlock2D"},
    "mid_block_type": {"UNetMidBlock2D"},
    "time_embedding_type": {"positional"},
    "downsample_type": {"conv"},
    "upsample_type": {"conv"},
    "downsample_padding": {0, 1},
}


def seen_shape(model: Mapping[str, Any], shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, H, W) of the network's input: an image, or the latents of an image.

    Args:
        model: The experiment's ``model`` section.
        shape: (C, H, W) of the images.
    """
    if not model_families.family(model)["latents"]:
        return shape
    channels, shrinks = _LATENT_CHANNELS, _SHRINKS
    name = model["pretrained"]
    places = [Path(p, n) for p in (name, f"data/pretrained/{name}") for n in ("vae", "vqvae", "")]
    for place in places:
        if (place / "config.json").is_file():
            settings = json.loads((place / "config.json").read_text())
            channels = settings.get("latent_channels", channels)
            shrinks = 2 ** (len(settings.get("block_out_channels", [0] * 4)) - 1)
            break
    return channels, max(1, shape[1] // shrinks), max(1, shape[2] // shrinks)


def size(model: Mapping[str, Any], shape: tuple[int, int, int]) -> Size:
    """Operations and trained parameters of the network of an experiment.

    Args:
        model: The experiment's ``model`` section.
        shape: (C, H, W) of the network's input, see ``seen_shape``.

    Returns:
        The size. Matrix products and convolutions count, norms and activations do not.

    Raises:
        UserError: If diffusers refuses the model.
    """
    return _size(json.dumps(model, sort_keys=True), tuple(shape))


@functools.cache
def _size(model: str, shape: tuple[int, int, int]) -> Size:
    settings = json.loads(model)
    if cost := model_families.family(settings)["cost"]:
        rank = settings["lora"]["rank"]
        return Size(cost["flops"] * shape[1] * shape[2], cost["parameters"] * rank)
    if model_families.family(settings)["formula"] == "dit":
        whole = transformer_cost.by_formula(settings, shape)
        lora = settings.get("lora")
        return Size(whole.flops, transformer_cost.adapter(settings)) if lora else whole
    usual = all(
        set(v if isinstance(v, list) else [v]) <= _USUAL[k]
        for k, v in settings.items()
        if k in _USUAL
    )
    if usual:
        return by_formula(settings, shape)
    try:
        return by_building(settings, shape)
    except Exception as error:  # diffusers and torch raise many classes
        raise UserError(f"diffusers refuses the model: {first_line(error)}") from error


def by_building(model: Mapping[str, Any], shape: tuple[int, int, int]) -> Size:
    """The size of any model, counted by torch on a model without weights; takes seconds."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dasbench.diffusion import denoiser, model_inputs
    from dasbench.diffusion.conditions import Condition

    family = model_inputs.family(model_families.family(model)["module"])
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = family.untrained(model, shape, ("size",))
        classes = torch.zeros(1, dtype=torch.long) if model.get("num_class_embeds") else None
        condition = None if classes is None else Condition("class_labels", classes)
        denoiser.predict(network, torch.zeros(1, *shape), torch.zeros(1), condition)
    return Size(counter.get_total_flops(), sum(p.numel() for p in network.parameters()))


def by_formula(model: Mapping[str, Any], shape: tuple[int, int, int]) -> Size:
    """The size of a model of the usual blocks, block by block as diffusers puts them together."""
    channels, height, width = shape
    widths, layers = model["block_out_channels"], model.get("layers_per_block", 2)
    embedding = model.get("time_embedding_dim") or 4 * widths[0]
    padding = model.get("downsample_padding", 1)
    scale_shift = model.get("resnet_time_scale_shift") == "scale_shift"
    resnet = functools.partial(_resnet, embedding=embedding, scale_shift=scale_shift)
    total = linear(widths[0], embedding, 1) + linear(embedding, embedding, 1)
    total += Size(0, embedding * (model.get("num_class_embeds") or 0))
    area = height * width
    total += conv(channels, widths[0], 3, area)
    skips, c = [widths[0]], widths[0]
    areas = []
    for level, (out, kind) in enumerate(zip(widths, model["down_block_types"], strict=True)):
        areas.append(area)
        for _ in range(layers):
            total += resnet(c, out, area)
            total += _attention(out, area) if kind.startswith("Attn") else Size(0, 0)
            c = out
            skips.append(c)
        if level < len(widths) - 1:
            # without padding diffusers adds one row and column of zeros, on one side alone
            height, width = (height + padding) // 2, (width + padding) // 2
            area = height * width
            total += conv(c, c, 3, area)
            skips.append(c)
    total += resnet(c, c, area) + resnet(c, c, area)
    if model.get("add_attention", True):
        total += _attention(c, area, normed=not scale_shift)
    for level, (out, kind) in enumerate(zip(widths[::-1], model["up_block_types"], strict=True)):
        area = areas[-1 - level]
        for _ in range(layers + 1):
            total += resnet(c + skips.pop(), out, area)
            total += _attention(out, area) if kind.startswith("Attn") else Size(0, 0)
            c = out
        if level < len(widths) - 1:
            total += conv(c, c, 3, areas[-2 - level])
    return total + norm(c) + conv(c, channels, 3, area)


def _resnet(c_in: int, c_out: int, area: int, embedding: int, scale_shift: bool) -> Size:
    """Two convolutions, the projected time, and a shortcut where the channels change."""
    total = norm(c_in) + conv(c_in, c_out, 3, area)
    total += linear(embedding, 2 * c_out if scale_shift else c_out, 1)
    total += norm(c_out) + conv(c_out, c_out, 3, area)
    return total + conv(c_in, c_out, 1, area) if c_in != c_out else total


def _attention(channels: int, area: int, normed: bool = True) -> Size:
    """Queries, keys, values, the output, and two products of [L, L]."""
    total = Size(4 * area**2 * channels, 0) + (norm(channels) if normed else Size(0, 0))
    for _ in range(4):
        total += linear(channels, channels, area)
    return total
