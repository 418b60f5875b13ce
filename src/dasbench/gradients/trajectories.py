"""Features of generated images along the paths on which they were sampled.

A sampled image has a trajectory x_T ... x_0. At each of its steps the sampler predicts the clean
image, xhat_t = (x_t - sqrt(1 - abar_t) eps_theta(x_t, t)) / sqrt(abar_t), clipped where the sampler
clips it. What is differentiated is the training loss of that prediction at that timestep,

    phi(q) = mean over steps t of E_eps grad_theta ||eps - eps_theta(x'_t, t)||^2 / D,
    x'_t = sqrt(abar_t) xhat_t + sqrt(1 - abar_t) eps,

with xhat_t held fixed and eps drawn by the features' policy, ``draws`` times a step, from streams
of its own (split "journey"). The trajectory is the deterministic one (DDIM, eta 0) from the noise
that the image was made from. Of its S steps T are taken, by the midpoint rule; all S if T >= S.

Source: Georgiev et al. (2023), arXiv 2312.06205, who attribute single steps; the mean over steps is
how the method enters comparisons of whole images (D-TRAK, arXiv 2311.00500).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from dasbench.diffusion import denoiser, sampling
from dasbench.diffusion.conditions import Condition
from dasbench.gradients.features import Extractor

BATCH = 256


@torch.no_grad()
def trajectory(
    unet: torch.nn.Module,
    scheduler: DDPMScheduler,
    noise: torch.Tensor,
    steps: int,
    condition: Condition | None = None,
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield, from noise to image, each timestep of a deterministic sampling and where it leads.

    Args:
        unet: The denoiser, in evaluation mode.
        scheduler: The training scheduler; its betas and prediction type are used.
        noise: [Q, C, H, W] initial noise.
        steps: Number of denoising steps S.
        condition: Of the Q images, or None.

    Yields:
        (t, predicted clean images, images after the step), both [Q, C, H, W].
    """
    ddim = DDIMScheduler.from_config(scheduler.config)
    ddim.set_timesteps(steps, device=noise.device)
    x = noise
    for t in ddim.timesteps:
        out = denoiser.predict(unet, x, t.expand(len(x)), condition, BATCH)
        step = ddim.step(out, t, x, eta=0.0)
        x = step.prev_sample
        yield int(t), step.pred_original_sample, x


def compute(
    unet: torch.nn.Module,
    scheduler: DDPMScheduler,
    noise: np.ndarray,
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
    steps: int,
    condition: Condition | None = None,
) -> np.ndarray:
    """Features of sampled images along their trajectories.

    Args:
        unet: The denoiser, in evaluation mode.
        scheduler: Its DDPM scheduler.
        noise: [Q, C, H, W] float32, from which they were sampled.
        settings: Of the training features, see ``dasbench.gradients.features.Extractor``.
        axes: Leading seed axes: experiment, seed.
        steps: Denoising steps S of the sampling.
        condition: Of the Q images, or None.

    Returns:
        [Q, P] float32, of the same projection as the training features.
    """
    extractor = Extractor(unet, scheduler, settings, axes)
    chosen = sampling.timestep_grid(min(settings["timesteps"], steps), steps)
    start = torch.from_numpy(noise).to(next(unet.parameters()))
    total, examples = 0.0, np.arange(len(noise))
    told = None if condition is None else condition.to(start)
    for number, (t, clean, _) in enumerate(trajectory(unet, scheduler, start, steps, told)):
        if number in chosen:
            extractor.grid = np.array([t])
            images = clean.cpu().numpy()
            total = total + np.hstack(extractor(images, examples, "journey", told)).astype(
                np.float64
            )
    return (total / len(chosen)).astype(np.float32)
