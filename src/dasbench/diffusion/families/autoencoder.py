"""Images to latents and back, by a frozen autoencoder of diffusers (AutoencoderKL or VQModel).

Latents are deterministic: the mean of the posterior, minus the shift, times the scaling factor.
This factor gives them a variance of about one. The latents of a VQModel are not yet quantised;
``decode`` quantises them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, VQModel

from dasbench.diffusion.families import pretrained
from dasbench.errors import UserError, first_line

CLASSES = {kind.__name__: kind for kind in (AutoencoderKL, VQModel)}
_BATCH = 16
Encoder = Callable[[np.ndarray], np.ndarray]  # images in [-1, 1] -> latents


def load(
    model: Mapping[str, Any], device: torch.device | str = "cpu", shifts: bool = False
) -> AutoencoderKL | VQModel:
    """The autoencoder of ``model.pretrained``, in evaluation mode, read from safetensors only.

    Args:
        model: The section ``model`` of the experiment.
        device: Device of the autoencoder.
        shifts: Whether the pipeline can undo a shift of the latents.

    Raises:
        UserError: If it is not on this machine, is not one of ``CLASSES``, or shifts its latents
            for a pipeline that cannot undo it.
    """
    place = pretrained.part(model, "vqvae", "vae")
    try:
        kind = json.loads((place / "config.json").read_text()).get("_class_name")
        autoencoder = CLASSES[kind].from_pretrained(
            place, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )
    # a damaged file makes diffusers raise anything from OSError to TypeError
    except Exception as error:
        raise UserError(
            f"{place} holds no {' or '.join(CLASSES)} in safetensors ({first_line(error)}); fetch "
            "it again, or name another model.pretrained"
        ) from error
    if not shifts and _shift(autoencoder):
        raise UserError(f"{place} shifts its latents, which pipelines of latents cannot undo")
    return autoencoder.eval().requires_grad_(False).to(device)


def encoder(
    model: Mapping[str, Any], device: torch.device | str = "cpu", shifts: bool = False
) -> Encoder:
    """``encode`` of one autoencoder, which is read once; the arguments are those of ``load``."""
    return functools.partial(encode_by, load(model, device, shifts))


def encode(
    model: Mapping[str, Any],
    images: np.ndarray,
    device: torch.device | str = "cpu",
    shifts: bool = False,
) -> np.ndarray:
    """Latents of images by the autoencoder of ``load``, see ``encode_by``."""
    return encoder(model, device, shifts)(images)


@torch.no_grad()
def encode_by(autoencoder: AutoencoderKL | VQModel, images: np.ndarray) -> np.ndarray:
    """Latents [N, c, h, w] float32 of images [N, C, H, W] float32 in [-1, 1].

    Raises:
        UserError: If the autoencoder takes another number of channels.
    """
    channels = autoencoder.config.in_channels
    if images.shape[1] != channels:
        raise UserError(
            f"images have {images.shape[1]} channels, but model.pretrained encodes {channels}; "
            "choose an autoencoder for these images"
        )
    parts = []
    for x in torch.from_numpy(images).split(_BATCH):
        code = autoencoder.encode(x.to(next(autoencoder.parameters())))
        latents = code.latents if isinstance(autoencoder, VQModel) else code.latent_dist.mode()
        latents = latents - _shift(autoencoder)
        parts.append((latents * autoencoder.config.scaling_factor).float().cpu())
    return torch.cat(parts).numpy()


@torch.no_grad()
def decode(
    model: Mapping[str, Any],
    latents: np.ndarray,
    device: torch.device | str = "cpu",
    shifts: bool = False,
) -> np.ndarray:
    """Images [N, C, H, W] float32, clipped to [-1, 1], from latents [N, c, h, w]."""
    autoencoder = load(model, device, shifts)
    parts = []
    for z in torch.from_numpy(latents).split(_BATCH):
        z = z.to(device) / autoencoder.config.scaling_factor + _shift(autoencoder)
        x = autoencoder.decode(z).sample
        parts.append(x.clamp(-1, 1).float().cpu())
    return torch.cat(parts).numpy()


def scale(config: Mapping[str, Any]) -> int:
    """Pixels along the side of one place of the latents of an autoencoder's configuration."""
    return 2 ** (len(config["block_out_channels"]) - 1)


def picture_shape(
    config: Mapping[str, Any], places: Any, size: int | None = None
) -> tuple[int, int, int] | None:
    """(C, H, W) of the pictures of a model of latents.

    Args:
        config: Configuration of the autoencoder.
        places: Places of the latents along a side, or (rows, columns), as the denoiser states them.
        size: Pixels of a side, if the user gave it; it goes before ``places``.

    Returns:
        The shape; None if neither states it.

    Raises:
        UserError: If ``size`` is no multiple of the pixels of a place.
    """
    side = scale(config)
    if size is not None:
        if size < side or size % side:
            raise UserError(f"size is {size}, expected a multiple of {side}, such as {8 * side}")
        return config["in_channels"], size, size
    if places is None:
        return None
    rows, columns = (places, places) if isinstance(places, int) else places
    return config["in_channels"], rows * side, columns * side


def config_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of the autoencoder of ``load``.

    Raises:
        UserError: If it is not on this machine, or cannot be read.
    """
    file = pretrained.part(model, "vqvae", "vae") / "config.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({first_line(error)}); fetch it again") from error


def _shift(autoencoder: AutoencoderKL | VQModel) -> float:
    """The number that pipelines subtract from the latents before they scale them."""
    return getattr(autoencoder.config, "shift_factor", None) or 0.0
