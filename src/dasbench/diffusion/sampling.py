"""From noise to images: the deterministic sampler of a model's process, step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch

from dasbench.diffusion import denoiser
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process


@torch.no_grad()
def trajectory(
    network: torch.nn.Module,
    process: Process,
    noise: torch.Tensor,
    steps: int,
    batch: int = 256,
    condition: Condition | None = None,
    guidance: float = 1.0,
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield the timestep, the predicted clean images and the next images of every step.

    Args:
        network: The denoiser, in evaluation mode.
        process: Its process.
        noise: [Q, C, H, W] initial noise.
        steps: Number of denoising steps.
        batch: Images per forward pass.
        condition: Condition of the Q images, or None.
        guidance: w of classifier-free guidance u + w (c - u), where c is the prediction with the
            condition and u without it. 1 means no guidance, at half the cost.

    Yields:
        (t, clean [Q, C, H, W], x [Q, C, H, W]), from noise to image.

    Source: guidance, Ho and Salimans (2022), arXiv 2207.12598; see the process for the sampler.
    """
    sampler, x = process.sampler(steps, noise.shape[1:]), noise
    condition = None if condition is None else condition.to(noise)
    for t in sampler.timesteps:
        time = torch.full((len(x),), sampler.time(t), device=x.device)
        prediction = _guided(network, x, time, condition, guidance, batch)
        clean, x = sampler.step(prediction, t, x)
        yield t, clean, x


def sample(
    network: torch.nn.Module,
    process: Process,
    noise: torch.Tensor,
    steps: int,
    batch: int = 256,
    condition: Condition | None = None,
    guidance: float = 1.0,
) -> torch.Tensor:
    """The images at the end of a ``trajectory``, which has the same arguments.

    Returns:
        [Q, C, H, W] float32; clipped to [-1, 1] if the process is bounded.
    """
    path = trajectory(network, process, noise, steps, batch, condition, guidance)
    ((_, _, x),) = deque(path, maxlen=1)
    return (x.clamp(-1, 1) if process.bounded else x).float()


def _guided(
    network: torch.nn.Module,
    x: torch.Tensor,
    time: torch.Tensor,
    condition: Condition | None,
    guidance: float,
    batch: int | None = None,
) -> torch.Tensor:
    """The prediction [n, C, H, W] for images x [n, C, H, W], with guidance if w is not 1."""
    conditional = denoiser.predict(network, x, time, condition, batch)
    if guidance == 1 or condition is None:
        return conditional
    unconditional = denoiser.predict(network, x, time, condition.dropped(), batch)
    return unconditional + guidance * (conditional - unconditional)
