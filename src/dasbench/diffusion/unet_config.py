"""Check the configuration of a user's UNet2DModel: its channels and the size of its images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dasbench.errors import UserError, say


def check(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check the configuration of a UNet2DModel.

    Args:
        config: Content of ``config.json``, or the configuration of a network.
        where: Words for its place, which start the sentence of an error.

    Returns:
        The configuration; ``sample_size`` becomes (height, width).

    Raises:
        UserError: If it is another network, or an entry is missing or impossible.
    """
    config = dict(config)
    network = config.get("_class_name", "UNet2DModel")
    if network != "UNet2DModel":
        raise UserError(f"{where} is of a {network}, expected a UNet2DModel, which takes images")
    if config.get("class_embed_type"):
        raise UserError(
            f"{where} has class_embed_type {json.dumps(config['class_embed_type'])}, expected "
            "none: this model cannot be used; classes are numbers, by num_class_embeds"
        )
    channels = _channels(config, where)
    out = config.get("out_channels", 3)  # what diffusers assumes
    if out not in (channels, 2 * channels):
        raise UserError(
            f"{where} has out_channels {out} for in_channels {channels}, expected as many, or "
            "twice as many for a learned variance: the output cannot be compared with the noise"
        )
    return {**config, "sample_size": _sides(config, where)}


def learned_variance(config: Mapping[str, Any]) -> bool:
    """Whether a UNet also predicts variances: it has twice as many output as input channels."""
    return config.get("out_channels") == 2 * config["in_channels"]


def say_learned_variance(config: Mapping[str, Any]) -> None:
    """Tell the user which output channels are used, if the model predicts variances."""
    if learned_variance(config):
        channels = config["in_channels"]
        say(
            f"the model has {2 * channels} output channels for images of {channels}: it learned a "
            f"variance; the first {channels} channels are used, the variance is left out"
        )


def _channels(config: Mapping[str, Any], where: str) -> int:
    channels = config.get("in_channels")
    if not isinstance(channels, int) or channels < 1:
        found = "no in_channels" if channels is None else f"in_channels {channels}"
        raise UserError(f"{where} has {found}; write the number of channels of the model's images")
    return channels


def _sides(config: Mapping[str, Any], where: str) -> tuple[int, int]:
    size = config.get("sample_size")
    sides = [size, size] if isinstance(size, int) else size
    if (
        not isinstance(sides, list | tuple)
        or [type(side) for side in sides] != [int, int]
        or min(sides) < 1
    ):
        raise UserError(
            f"{where} has the sample_size {json.dumps(size, default=str)}; write the side of the "
            "model's images in pixels, or [height, width]"
        )
    return tuple(sides)
