"""What a retrained model says about a query: the outputs that the LDS predicts.

Higher is better for the query. Noise is keyed by (query, timestep), equal for every model and for
the base, in its own stream "outputs".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import DDPMScheduler

from dasbench import diffusion
from dasbench import noise as noise_policies


@torch.no_grad()
def measure(
    models: Sequence[torch.nn.Module],
    base: torch.nn.Module,
    scheduler: DDPMScheduler,
    queries: np.ndarray,
    kind: str,
    timesteps: int,
    axes: Sequence[str | int],
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of several models on all queries of a kind.

    Args:
        models: K denoisers in evaluation mode, on one device.
        base: The model that was trained on everything.
        scheduler: The DDPM scheduler they share.
        queries: [Q, C, H, W] float32 in [-1, 1].
        kind: "val" or "gen"; keys the noise.
        timesteps: T_eval, spread by the midpoint rule.
        axes: Leading seed axes: experiment, seed.

    Returns:
        loss [K, Q] float32, minus the mean squared error against the training target;
        displacement [K, Q] float32, minus the mean squared difference from the base's prediction.
    """
    x = torch.from_numpy(queries).to(next(base.parameters()))
    grid = diffusion.timestep_grid(timesteps, scheduler.config.num_train_timesteps)
    loss = torch.zeros(len(models), len(x), dtype=torch.float64, device=x.device)
    displacement = torch.zeros_like(loss)

    def noise_of(t: int) -> torch.Tensor:
        eps = noise_policies.draw(
            "keyed", (*axes, "outputs"), kind, range(len(x)), t, 0, x.shape[1:]
        )
        return torch.from_numpy(eps).to(x)

    for t, wanted, before in diffusion.errors_by_timestep(base, scheduler, x, noise_of, grid):
        steps = torch.full((len(x),), t, device=x.device)
        x_t = diffusion.noised(x, noise_of(t), diffusion.alphas(scheduler, steps, x))
        for k, model in enumerate(models):
            after = diffusion.predict(model, x_t, steps)
            loss[k] -= (wanted - after).square().flatten(1).mean(1)
            displacement[k] -= (before - after).square().flatten(1).mean(1)
    return tuple((a / len(grid)).float().cpu().numpy() for a in (loss, displacement))
