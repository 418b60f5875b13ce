"""Features of generated images along their sampling trajectories.

A sampled image has a trajectory x_T ... x_0. At each of its steps the sampler predicts the clean
image, xhat_t = (x_t - sqrt(1 - abar_t) eps_theta(x_t, t)) / sqrt(abar_t), and clips it if the
process is bounded. The feature is the mean gradient of the training loss at these images,

    phi(q) = mean over steps t of E_eps grad_theta ||eps - eps_theta(x'_t, t)||^2 / D,
    x'_t = sqrt(abar_t) xhat_t + sqrt(1 - abar_t) eps,

with xhat_t held fixed. eps is drawn ``draws`` times a step, by the noise policy of the features,
from separate streams (split "journey"). The trajectory is deterministic (DDIM, eta 0) and starts
from the initial noise of the image. The mean covers T of its S steps, by the midpoint rule, or all
S if T >= S.

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
        noise: [Q, C, H, W] float32 initial noise of the images.
        settings: Settings of the training features, see ``dasbench.gradients.features.Extractor``.
        axes: Leading seed axes: experiment, seed.
        steps: Number S of denoising steps.
        condition: Condition of the Q images, or None.

    Returns:
        [Q, P] float32, with the same projection as the training features.
    """
    extractor = Extractor(unet, process, settings, axes)
    subset = timestep_grids.timestep_grid(min(settings["timesteps"], steps), steps)
    start = torch.from_numpy(noise).to(next(unet.parameters()))
    total, examples = 0.0, np.arange(len(noise))
    path = sampling.trajectory(unet, process, start, steps, condition=condition)
    for number, (t, clean, _) in enumerate(path):
        if number in subset:
            extractor.grid = np.array([t])
            phi = extractor(clean.cpu().numpy(), examples, "journey", condition)
            total = total + np.hstack(phi).astype(np.float64)
    return (total / len(subset)).astype(np.float32)
