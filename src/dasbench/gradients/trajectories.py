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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dasbench.diffusion import sampling, timestep_grids
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process
from dasbench.gradients.features import Extractor


def compute(
    unet: torch.nn.Module,
    process: Process,
    noise: np.ndarray,
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
    steps: int,
    condition: Condition | None = None,
) -> np.ndarray:
    """Features of sampled images along their trajectories.

    Args:
        unet: The denoiser, in evaluation mode.
        process: Its process.
        noise: [Q, C, H, W] float32, from which they were sampled.
        settings: Of the training features, see ``dasbench.gradients.features.Extractor``.
        axes: Leading seed axes: experiment, seed.
        steps: Denoising steps S of the sampling.
        condition: Of the Q images, or None.

    Returns:
        [Q, P] float32, of the same projection as the training features.
    """
    extractor = Extractor(unet, process, settings, axes)
    chosen = timestep_grids.timestep_grid(min(settings["timesteps"], steps), steps)
    start = torch.from_numpy(noise).to(next(unet.parameters()))
    total, examples = 0.0, np.arange(len(noise))
    path = sampling.trajectory(unet, process, start, steps, condition=condition)
    for number, (t, clean, _) in enumerate(path):
        if number in chosen:
            extractor.grid = np.array([t])
            phi = extractor(clean.cpu().numpy(), examples, "journey", condition)
            total = total + np.hstack(phi).astype(np.float64)
    return (total / len(chosen)).astype(np.float32)
