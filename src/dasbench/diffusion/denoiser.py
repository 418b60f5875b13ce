"""Inputs and outputs of a denoiser.

``dasbench.diffusion.process`` defines its training target.
"""

from __future__ import annotations

import numpy as np
import torch

from dasbench.core.blocks import blocks
from dasbench.diffusion import conditions
from dasbench.errors import UserError


def to_model(images: np.ndarray) -> np.ndarray:
    """Turn images [N, H, W, C] uint8 into [N, C, H, W] float32 in [-1, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 127.5 - 1


def predict(
    network: torch.nn.Module,
    x_t: torch.Tensor,
    time: torch.Tensor,
    condition: conditions.Condition | None = None,
    batch: int | None = None,
) -> torch.Tensor:
    """The output of a denoiser. All code calls denoisers through this function.

    Args:
        network: A UNet of diffusers, or a callable with the same arguments. It may return the
            prediction itself, or a tuple that starts with it.
        x_t: [n, C, H, W] noised images.
        time: [n] time arguments, see ``dasbench.diffusion.process.Process.time``.
        condition: Condition of the n images, or None.
        batch: Images per forward pass; None for all n.

    Returns:
        [n, C, H, W], an estimate of the process's training target. A network with a learned
        variance has 2 C output channels, of which these are the first C.

    Raises:
        UserError: If the output has another shape.
    """
    if batch is None:
        # copies: a network may change its inputs in place
        return _target(network(x_t.clone(), time.clone(), **conditions.arguments(condition)), x_t)
    parts = blocks(len(x_t), batch)
    return torch.cat([predict(network, x_t[p], time[p], condition and condition[p]) for p in parts])


def _target(output: object, x_t: torch.Tensor) -> torch.Tensor:
    """The estimate of the target in the output of a network."""
    out = getattr(output, "sample", None) if not isinstance(output, torch.Tensor) else output
    if out is None and isinstance(output, tuple) and output:
        out = output[0]
    if not isinstance(out, torch.Tensor):
        raise UserError(
            f"the network returns a {type(output).__name__}; expected a tensor [n, C, H, W], or an "
            "output of diffusers with the field sample"
        )
    if out.shape == x_t.shape:
        return out
    if out.ndim == x_t.ndim and out.shape[1] == 2 * x_t.shape[1]:
        out = out[:, : x_t.shape[1]]  # the others are the learned variance
    if out.shape != x_t.shape:
        raise UserError(
            f"the network returns {tuple(out.shape[1:])} (channels, height, width) for images of "
            f"{tuple(x_t.shape[1:])}; expected as many, or twice the channels for a learned "
            "variance"
        )
    return out
