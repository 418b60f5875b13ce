"""Inputs and outputs of a denoiser.

``dasbench.diffusion.process`` defines its training target.
"""

from __future__ import annotations

import numpy as np
import torch

from dasbench.core.blocks import blocks
from dasbench.diffusion import conditions


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
        network: A UNet of diffusers, or a callable with the same arguments.
        x_t: [n, C, H, W] noised images.
        time: [n] time arguments, see ``dasbench.diffusion.process.Process.time``.
        condition: Condition of the n images, or None.
        batch: Images per forward pass; None for all n.

    Returns:
        [n, C, H, W], an estimate of the process's training target.
    """
    if batch is None:
        return network(x_t, time, **conditions.arguments(condition)).sample
    parts = blocks(len(x_t), batch)
    return torch.cat([predict(network, x_t[p], time[p], condition and condition[p]) for p in parts])
