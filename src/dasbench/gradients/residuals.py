"""Residuals of the training examples: the factor of DAS that says how badly the model fits them.

The noise comes from the stream "residuals", keyed by (example, t, draw). It is independent of the
noise of the features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dasbench.diffusion import denoiser, timestep_grids
from dasbench.diffusion import noise as noise_policies
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process

_BATCH = 256  # images per forward pass


def compute(
    unet: torch.nn.Module,
    process: Process,
    images: np.ndarray,
    examples: Sequence[int],
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
    condition: Condition | None = None,
) -> np.ndarray:
    """Residuals of the training examples.

    Args:
        unet: The denoiser, in evaluation mode.
        process: Its process.
        images: [N, C, H, W] float32 in [-1, 1].
        examples: [N] ids, which key the noise.
        settings: kind ("scalar" or "released"), timesteps, timestep_rule, draws; optional:
            by_timestep (scalar only).
        axes: Leading seed axes: experiment, seed.
        condition: Condition of the N images, or None.

    Returns:
        [N] float32. With s_{i,t} = sqrt(mean squared error of example i at t), it is
        scalar: mean_t s_{i,t}, where s_{i,t} is ||eps - eps_theta|| / sqrt(D);
        released: mean_t s_{i,t} / sqrt(sum_t s_{i,t}^2).
        With by_timestep it is s_{i,t} itself, [T, N], averaged over draws.

    Raises:
        ValueError: If the kind is unknown.

    Source: DAS (arXiv 2410.18639), the residual term; "released" is the formula of its public code,
    here on a grid with fewer timesteps.
    """
    x = torch.from_numpy(images).to(next(unet.parameters()))
    condition = None if condition is None else condition.to(x)
    grid = timestep_grids.timesteps(settings, process.total)
    roots = []
    for repeat in range(settings["draws"]):

        def noise_of(t: int, repeat: int = repeat) -> torch.Tensor:
            eps = noise_policies.draw(
                "keyed", (*axes, "residuals"), "train", examples, t, repeat, x.shape[1:]
            )
            return torch.from_numpy(eps).to(x)

        for _, target, out in errors_by_timestep(unet, process, x, noise_of, grid, condition):
            roots.append((target - out).square().flatten(1).mean(1).sqrt())
    s = torch.stack(roots).double()  # [E * T, N]
    r = s.mean(0)
    if settings.get("by_timestep"):
        r = s.view(settings["draws"], len(grid), -1).mean(0)
    elif settings["kind"] == "released":
        r = r / s.square().sum(0).sqrt()
    elif settings["kind"] != "scalar":
        raise ValueError(f"residual kind must be scalar or released, got {settings['kind']!r}")
    return r.float().cpu().numpy()


@torch.no_grad()
def errors_by_timestep(
    unet: torch.nn.Module,
    process: Process,
    x: torch.Tensor,
    noise_of: Callable[[int], torch.Tensor],
    timesteps: np.ndarray,
    condition: Condition | None = None,
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield, for each timestep, the training target and the model's prediction.

    Args:
        unet: The denoiser, in evaluation mode.
        process: Its process.
        x: [n, C, H, W] images.
        noise_of: Function t -> [n, C, H, W] noise.
        timesteps: [T] integers.
        condition: Condition of the n images, or None.

    Yields:
        (t, target [n, C, H, W], prediction [n, C, H, W]).
    """
    for t in timesteps:
        t = int(t)
        steps = torch.full((len(x),), t, device=x.device)
        x_t, target = process.pair(x, noise_of(t), steps)
        yield t, target, denoiser.predict(unet, x_t, process.time(steps), condition, _BATCH)
