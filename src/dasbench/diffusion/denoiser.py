"""The diffusion process: noising, the training target, what a denoiser says.

Symbols (Ho et al., 2020, arXiv 2006.11239): x image, t timestep, eps Gaussian noise,
abar_t = prod_{s<=t} (1 - beta_s), x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import DDPMScheduler

from dasbench.diffusion import conditions


def to_model(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] uint8 to [N, C, H, W] float32 in [-1, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 127.5 - 1


def noised(x: torch.Tensor, eps: torch.Tensor, abar: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps; shapes broadcast, abar [..., 1, 1, 1]."""
    return abar.sqrt() * x + (1 - abar).sqrt() * eps


def target(x: torch.Tensor, eps: torch.Tensor, abar: torch.Tensor, prediction: str) -> torch.Tensor:
    """What the model is trained to output: eps, x, or v = sqrt(abar) eps - sqrt(1 - abar) x.

    Source: v-prediction, Salimans and Ho (2022), arXiv 2202.00512.
    """
    if prediction == "epsilon":
        return eps
    if prediction == "sample":
        return x
    if prediction == "v_prediction":
        return abar.sqrt() * eps - (1 - abar).sqrt() * x
    raise ValueError(f"prediction_type must be epsilon, sample or v_prediction, got {prediction!r}")


def alphas(scheduler: DDPMScheduler, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """abar_t of timesteps t [n], as [n, 1, 1, 1] with the dtype and device of ``like``."""
    abar = scheduler.alphas_cumprod.to(device=t.device)[t]
    return abar.to(like)[:, None, None, None]


def predict(
    network: torch.nn.Module,
    x_t: torch.Tensor,
    t: torch.Tensor,
    condition: conditions.Condition | None = None,
    batch: int | None = None,
) -> torch.Tensor:
    """The network's output: the one place where a denoiser is called.

    Args:
        network: A UNet of diffusers, or what is called like one.
        x_t: [n, C, H, W] noised images.
        t: [n] timesteps.
        condition: Of the n images, or None.
        batch: Images per forward pass; None: all at once.

    Returns:
        [n, C, H, W], in the terms of ``target``.
    """
    if batch is None:
        return network(x_t, t, **conditions.arguments(condition)).sample
    parts = [slice(start, start + batch) for start in range(0, len(x_t), batch)]
    told = [None if condition is None else condition[part] for part in parts]
    return torch.cat([predict(network, x_t[p], t[p], c) for p, c in zip(parts, told, strict=True)])
