"""Which timesteps are looked at, and samples by DDIM: what is done with a trained denoiser."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from dasbench.diffusion import denoiser
from dasbench.diffusion.conditions import Condition


def timestep_grid(count: int, total: int, rule: str = "midpoint") -> np.ndarray:
    """Evenly spread timesteps.

    Args:
        count: T.
        total: Length of the diffusion process.
        rule: "midpoint", t_k = floor((k + 1/2) total / T); "released", t_k = k total / T.

    Returns:
        [T] int64, ascending, distinct.

    Raises:
        ValueError: If T is not in 1 .. total.
    """
    if not 1 <= count <= total:
        raise ValueError(
            f"timesteps must be 1 to {total}, got {count}; change it in the experiment file"
        )
    k = np.arange(count)
    doubled = 2 * k + 1 if rule == "midpoint" else 2 * k
    return doubled * total // (2 * count)


@torch.no_grad()
def ddim_sample(
    unet: torch.nn.Module,
    scheduler: DDPMScheduler,
    noise: torch.Tensor,
    steps: int,
    batch: int = 256,
    condition: Condition | None = None,
    guidance: float = 1.0,
) -> torch.Tensor:
    """Deterministic DDIM samples (eta 0).

    Args:
        unet: The denoiser, in evaluation mode.
        scheduler: The training scheduler; its betas and prediction type are used.
        noise: [Q, C, H, W] initial noise.
        steps: Number of denoising steps.
        batch: Images per forward pass.
        condition: Of the Q images, or None.
        guidance: w of classifier-free guidance, u + w (c - u) of the predictions with (c) and
            without (u) the condition; 1 is none and costs half.

    Returns:
        [Q, C, H, W] float32; clipped to [-1, 1] where the scheduler clips, as it does for pixels.

    Source: Song et al. (2021), arXiv 2010.02502; guidance, Ho and Salimans (2022), 2207.12598.
    """
    ddim = DDIMScheduler.from_config(scheduler.config)
    ddim.set_timesteps(steps, device=noise.device)
    told = None if condition is None else condition.to(noise)
    chunks = []
    for start in range(0, len(noise), batch):
        rows = slice(start, start + batch)
        x, c = noise[rows], None if told is None else told[rows]
        for t in ddim.timesteps:
            x = ddim.step(_guided(unet, x, t, c, guidance), t, x, eta=0.0).prev_sample
        chunks.append((x.clamp(-1, 1) if ddim.config.clip_sample else x).float())
    return torch.cat(chunks)


def _guided(
    unet: torch.nn.Module,
    x: torch.Tensor,
    t: torch.Tensor,
    condition: Condition | None,
    guidance: float,
) -> torch.Tensor:
    """The prediction at one timestep for all of x [n, C, H, W]."""
    with_it = denoiser.predict(unet, x, t, condition)
    if guidance == 1 or condition is None:
        return with_it
    without = denoiser.predict(unet, x, t, condition.dropped())
    return without + guidance * (with_it - without)
