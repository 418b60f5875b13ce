"""How far retrained models leave the base model along the path by which an image was sampled.

    output_m(q) = - mean over places s of ||f_m(x_s, t_s) - f_base(x_s, t_s)||^2 / D

x_s is the noisy image at step s of the base model's own path from the initial noise to the query
(``dasbench.diffusion.sampling``), and f a network's prediction. The displacement of
``dasbench.diffusion.outputs`` is the same at images that are noised anew from the finished query.
Here no noise is drawn: the path is deterministic. With guidance, the path is the guided one, and
the predictions are those with the condition.

Letters: K models, S steps of sampling, L places (some of the steps), Q queries, D numbers in an
image. Cost: S Q forward passes of the base model, and K L Q of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dasbench.diffusion import denoiser, sampling, timestep_grids
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.outputs import batch_size
from dasbench.diffusion.process import Process


@torch.inference_mode()
def measure(
    models: Sequence[torch.nn.Module],
    base: torch.nn.Module,
    process: Process,
    noise: np.ndarray,
    steps: int,
    places: int,
    condition: Condition | None = None,
    guidance: float = 1.0,
) -> np.ndarray:
    """Minus the displacement of some models at places of the base model's sampling paths.

    Args:
        models: K denoisers in evaluation mode, on one device.
        base: The model that sampled the queries.
        process: The process that they share.
        noise: [Q, C, H, W] float32 initial noise of the queries.
        steps: S, with which the queries were sampled.
        places: L, steps at which models are measured, evenly spread.
        condition: Condition of the Q queries, or None.
        guidance: w, with which the queries were sampled.

    Returns:
        [K, L, Q] float32, not above 0; the places from noise to image.

    Raises:
        ValueError: If there are more places than steps, or none.
    """
    x = torch.from_numpy(noise).to(next(base.parameters()))
    condition = None if condition is None else condition.to(x)
    chosen = timestep_grids.timestep_grid(places, steps).tolist()
    times, size = process.sampler(steps, noise.shape[1:]).time, batch_size(x.shape[1:], x.device)
    found = np.zeros((len(models), places, len(x)), np.float32)
    path = sampling.trajectory(base, process, x, steps, size, condition, guidance)
    for number, (t, _, after) in enumerate(path):
        if number in chosen:
            time = torch.full((len(x),), times(t), device=x.device)
            before = denoiser.predict(base, x, time, condition, size)
            for k, model in enumerate(models):
                difference = denoiser.predict(model, x, time, condition, size) - before
                mean = difference.square().flatten(1).mean(1)
                found[k, chosen.index(number)] = -mean.float().cpu().numpy()
        x = after
    return found
