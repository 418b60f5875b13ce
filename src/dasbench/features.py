"""Gradient features: what a training example or a query looks like from the model's weights.

phi(x) = mean over t and noise draws of g_t(x), g_t(x) = grad_theta of a scalar readout of
eps_theta(x_t, t), optionally divided by its norm, then projected to P dimensions.

Vocabulary: *readout* the scalar that is differentiated; *normalise* divide each g_t by its
unprojected Euclidean norm before averaging; *noise* the policy of ``dasbench.noise``.
Shapes: n examples, p parameters, P dimensions, T timesteps, E draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dasbench import diffusion
from dasbench import noise as noise_policies
from dasbench.projection import Projection

READOUTS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "loss": lambda wanted, out: (wanted - out).square().mean(),
    "square": lambda wanted, out: out.square().mean(),
    "mean": lambda wanted, out: out.mean(),
    "l1": lambda wanted, out: out.abs().mean(),
    "l2": lambda wanted, out: out.square().sum().sqrt(),
    "linf": lambda wanted, out: out.abs().max(),
}


def per_example_gradients(
    unet: torch.nn.Module, readout: str
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """Build a function of (x_t [n, C, H, W], t [n], training target [n, C, H, W]) -> [n, p].

    Args:
        unet: The denoiser, in evaluation mode.
        readout: One of ``READOUTS``.

    Returns:
        Gradients in the order of ``unet.named_parameters()``, flattened and joined.

    Raises:
        ValueError: If the readout is unknown.
    """
    if readout not in READOUTS:
        raise ValueError(f"readout must be one of {', '.join(READOUTS)}, got {readout!r}")
    scalar = READOUTS[readout]
    parameters = {name: p.detach() for name, p in unet.named_parameters()}
    buffers = dict(unet.named_buffers())

    def value(weights, x_t, t, wanted):
        out = functional_call(unet, (weights, buffers), (x_t[None], t[None])).sample[0]
        return scalar(wanted, out)

    batched = vmap(grad(value), in_dims=(None, 0, 0, 0))

    def gradients(x_t: torch.Tensor, t: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # the fused attentions have no rule for vmap
            by_name = batched(parameters, x_t, t, wanted)
        return torch.cat([g.flatten(1) for g in by_name.values()], dim=1)

    return gradients


def compute(
    unet: torch.nn.Module,
    scheduler: DDPMScheduler,
    images: np.ndarray,
    examples: Sequence[int],
    split: str,
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
    batch: int = 64,
) -> np.ndarray:
    """Features of some images.

    Args:
        unet: The denoiser, in evaluation mode, on its device.
        scheduler: Its DDPM scheduler.
        images: [n, C, H, W] float32 in [-1, 1].
        examples: [n] what the noise is keyed by: ids for ``keyed``, positions for ``batch``.
        split: "train", "val" or "gen".
        settings: readout, normalise, noise, timesteps, timestep_rule, draws, dimensions,
            projection.
        axes: Leading seed axes: experiment, seed; stream "features".
        batch: Gradients held at once; eight times as many examples are projected at once, so that
            memory is 9 * batch * p numbers, whatever n.

    Returns:
        [n, P] float32. Does not depend on batch or the order of examples beyond float32
        rounding (matrix products of other sizes sum in another order).
    """
    grid = diffusion.timestep_grid(
        settings["timesteps"], scheduler.config.num_train_timesteps, settings["timestep_rule"]
    )
    p = sum(w.numel() for w in unet.parameters())
    projection = Projection(settings["projection"], p, settings["dimensions"], axes)
    gradients = per_example_gradients(unet, settings["readout"])
    where = next(unet.parameters())
    policy, stream = settings["noise"], (*axes, "features")
    chunk, out = 8 * batch, []
    for start in range(0, len(images), chunk):
        x = torch.from_numpy(images[start : start + chunk]).to(where)
        who = examples[start : start + chunk]
        total = x.new_zeros(len(x), p)
        for t in map(int, grid):
            for repeat in range(settings["draws"]):
                drawn = noise_policies.draw(policy, stream, split, who, t, repeat, x.shape[1:])
                eps = torch.from_numpy(drawn).to(x)
                for rows, g in _gradients_at(t, gradients, scheduler, x, eps, batch):
                    total[rows] += unit(g) if settings["normalise"] else g
        total /= len(grid) * settings["draws"]
        out.append(projection(total).float().cpu().numpy())
    return np.concatenate(out)


def unit(g: torch.Tensor) -> torch.Tensor:
    """Rows of g [n, p] divided by their Euclidean norms; a zero row stays zero."""
    return g / g.norm(dim=1, keepdim=True).clamp_min(torch.finfo(g.dtype).tiny)


def _gradients_at(
    t: int,
    gradients: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    scheduler: DDPMScheduler,
    x: torch.Tensor,
    eps: torch.Tensor,
    batch: int,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (rows, gradients [rows, p]) at one timestep, ``batch`` examples at a time."""
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        steps = torch.full((len(x[rows]),), t, device=x.device)
        abar = diffusion.alphas(scheduler, steps, x)
        wanted = diffusion.target(x[rows], eps[rows], abar, scheduler.config.prediction_type)
        yield rows, gradients(diffusion.noised(x[rows], eps[rows], abar), steps, wanted)
