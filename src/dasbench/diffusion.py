"""The diffusion process: noising, the training target, the loss, sampling.

Symbols (Ho et al., 2020, arXiv 2006.11239): x image, t timestep, eps Gaussian noise,
abar_t = prod_{s<=t} (1 - beta_s), x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler


def to_model(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] uint8 to [N, C, H, W] float32 in [-1, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 127.5 - 1


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


def noised(x: torch.Tensor, eps: torch.Tensor, abar: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps; shapes broadcast, abar [..., 1, 1, 1]."""
    return abar.sqrt() * x + (1 - abar).sqrt() * eps


def target(x: torch.Tensor, eps: torch.Tensor, abar: torch.Tensor, prediction: str) -> torch.Tensor:
    """What the model is trained to output: eps, or v = sqrt(abar) eps - sqrt(1 - abar) x.

    Source: v-prediction, Salimans and Ho (2022), arXiv 2202.00512.
    """
    if prediction == "epsilon":
        return eps
    if prediction == "v_prediction":
        return abar.sqrt() * eps - (1 - abar).sqrt() * x
    raise ValueError(f"prediction_type must be epsilon or v_prediction, got {prediction!r}")


def alphas(scheduler: DDPMScheduler, t: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """abar_t of timesteps t [n], as [n, 1, 1, 1] with the dtype and device of ``like``."""
    abar = scheduler.alphas_cumprod.to(device=t.device)[t]
    return abar.to(like)[:, None, None, None]


@torch.no_grad()
def ddim_sample(
    unet: torch.nn.Module,
    scheduler: DDPMScheduler,
    noise: torch.Tensor,
    steps: int,
    batch: int = 256,
) -> torch.Tensor:
    """Deterministic DDIM samples (eta 0).

    Args:
        unet: The denoiser, in evaluation mode.
        scheduler: The training scheduler; its betas and prediction type are used.
        noise: [Q, C, H, W] initial noise.
        steps: Number of denoising steps.
        batch: Images per forward pass.

    Returns:
        [Q, C, H, W] float32, clipped to [-1, 1].

    Source: Song et al. (2021), arXiv 2010.02502.
    """
    ddim = DDIMScheduler.from_config(scheduler.config)
    ddim.set_timesteps(steps, device=noise.device)
    chunks = []
    for x in noise.split(batch):
        for t in ddim.timesteps:
            x = ddim.step(unet(x, t).sample, t, x, eta=0.0).prev_sample
        chunks.append(x.clamp(-1, 1).float())
    return torch.cat(chunks)


def predict(
    unet: torch.nn.Module, x_t: torch.Tensor, t: torch.Tensor, batch: int = 256
) -> torch.Tensor:
    """The model's output [n, C, H, W] at x_t [n, C, H, W] and t [n], ``batch`` images at a time."""
    return torch.cat(
        [unet(a, b).sample for a, b in zip(x_t.split(batch), t.split(batch), strict=True)]
    )


@torch.no_grad()
def errors_by_timestep(
    unet: torch.nn.Module,
    scheduler: DDPMScheduler,
    x: torch.Tensor,
    noise_of: Callable[[int], torch.Tensor],
    timesteps: np.ndarray,
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield, for each timestep, the training target and the model's prediction.

    Args:
        unet: The denoiser, in evaluation mode.
        scheduler: Its DDPM scheduler.
        x: [n, C, H, W] images.
        noise_of: Function t -> [n, C, H, W] noise.
        timesteps: [T] integers.

    Yields:
        (t, target [n, C, H, W], prediction [n, C, H, W]).
    """
    for t in timesteps:
        t = int(t)
        eps = noise_of(t)
        steps = torch.full((len(x),), t, device=x.device)
        abar = alphas(scheduler, steps, x)
        x_t = noised(x, eps, abar)
        wanted = target(x, eps, abar, scheduler.config.prediction_type)
        yield t, wanted, predict(unet, x_t, steps)
