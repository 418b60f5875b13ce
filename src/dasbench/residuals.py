"""How badly the model fits each training example: the residual factor of DAS.

Noise stream "residuals", keyed by (example, t, draw): disjoint from that of the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler

from dasbench import diffusion
from dasbench import noise as noise_policies


def compute(
    unet: torch.nn.Module,
    scheduler: DDPMScheduler,
    images: np.ndarray,
    examples: Sequence[int],
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
) -> np.ndarray:
    """Residuals of the training examples.

    Args:
        unet: The denoiser, in evaluation mode.
        scheduler: Its DDPM scheduler.
        images: [N, C, H, W] float32 in [-1, 1].
        examples: [N] ids, which key the noise.
        settings: kind ("scalar" or "released"), timesteps, timestep_rule, draws.
        axes: Leading seed axes: experiment, seed.

    Returns:
        [N] float32. With s_{i,t} = sqrt(mean squared error of example i at t):
        scalar: mean_t s_{i,t} (this is ||eps - eps_theta|| / sqrt(D));
        released: mean_t s_{i,t} / sqrt(sum_t s_{i,t}^2).

    Source: DAS (arXiv 2410.18639), the residual term; "released" is the form of its public code,
    here on a thinned grid of timesteps.
    """
    where = next(unet.parameters())
    x = torch.from_numpy(images).to(where)
    grid = diffusion.timestep_grid(
        settings["timesteps"], scheduler.config.num_train_timesteps, settings["timestep_rule"]
    )
    roots = []
    for repeat in range(settings["draws"]):

        def noise_of(t: int, repeat: int = repeat) -> torch.Tensor:
            eps = noise_policies.draw(
                "keyed", (*axes, "residuals"), "train", examples, t, repeat, x.shape[1:]
            )
            return torch.from_numpy(eps).to(x)

        for _, wanted, out in diffusion.errors_by_timestep(unet, scheduler, x, noise_of, grid):
            roots.append((wanted - out).square().flatten(1).mean(1).sqrt())
    s = torch.stack(roots).double()  # [T * E, N]
    r = s.mean(0)
    if settings["kind"] == "released":
        r = r / s.square().sum(0).sqrt()
    elif settings["kind"] != "scalar":
        raise ValueError(f"residual kind must be scalar or released, got {settings['kind']!r}")
    return r.float().cpu().numpy()
