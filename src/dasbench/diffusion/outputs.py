"""Outputs of retrained models on queries: the numbers that the LDS predicts.

A higher output means that the model is better on the query. Noise is keyed by (query, timestep) in
the stream "outputs", so that all models and the base model see the same noise.

Cost: (K + 1) T Q forward passes for K models. One batch holds several timesteps, so that a few
queries fill it. Noise, noised images and predictions of the base model are computed once per batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from dasbench.core.blocks import blocks
from dasbench.diffusion import denoiser, timestep_grids
from dasbench.diffusion import noise as noise_policies
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process

# Numbers in the images of one batch. On a CPU, the activations of a larger batch leave the cache,
# and torch returns their memory to the system after each layer. In a smaller batch the overhead of
# calls dominates. 256 images of 8x8 and 20 of 28x28 are within 5 % of the fastest batch size.
CPU_NUMBERS = 1 << 14
CPU_FEWEST = 16
GPU_IMAGES = 512


class Batch(NamedTuple):
    """Some of the T Q pairs of timestep and query; the query changes fastest.

    Attributes:
        rows: Slice of n pairs.
        x_t: [n, C, H, W] noised images.
        time: [n] time arguments of the network.
        target: [n, C, H, W] training targets.
        condition: Condition of the n images, or None.
    """

    rows: slice
    x_t: torch.Tensor
    time: torch.Tensor
    target: torch.Tensor
    condition: Condition | None


def grid(count: int, total: int, spacing: str = "midpoint") -> tuple[np.ndarray, np.ndarray]:
    """Timesteps and weights that estimate a mean over all timesteps of the process.

    The process is cut into strata. The middle timestep stands for its stratum, and the length of
    the stratum is its weight. Subset models differ most at the first timesteps: in the second half
    of the process, the variance of their losses is a hundredth. Short strata at the start
    therefore leave less noise in the mean.

    Args:
        count: T_eval, the number of strata.
        total: Length of the diffusion process.
        spacing: "midpoint", strata of equal length; "quadratic", stratum k ends at
            round(total ((k + 1) / T_eval)^2), and empty strata are left out.

    Returns:
        timesteps [T] int64, ascending, distinct; weights [T] float64 with sum 1. T is T_eval, or
        less if "quadratic" leaves out empty strata.

    Raises:
        ValueError: If the count is not in 1 .. total, or the spacing is unknown.

    Source: quadratic spacing of the timesteps as for sampling by Song et al. (2021), arXiv
    2010.02502, D.3.
    """
    if spacing == "midpoint":
        steps = timestep_grids.timestep_grid(count, total)
        return steps, np.full(len(steps), 1 / len(steps))
    if spacing != "quadratic":
        raise ValueError(f"spacing must be midpoint or quadratic, got {spacing!r}")
    if not 1 <= count <= total:
        raise ValueError(
            f"timesteps must be 1 to {total}, got {count}; change it in the experiment file"
        )
    ends = np.unique((2 * np.arange(count + 1) ** 2 * total + count**2) // (2 * count**2))
    return (ends[:-1] + ends[1:] - 1) // 2, np.diff(ends) / total


def batch_size(shape: Sequence[int], device: torch.device) -> int:
    """Images of shape (C, H, W) in a batch of forward passes that suits the device."""
    if device.type != "cpu":
        return GPU_IMAGES
    return max(CPU_FEWEST, CPU_NUMBERS // math.prod(shape))


def batches(
    process: Process,
    x: torch.Tensor,
    positions: np.ndarray,
    kind: str,
    timesteps: np.ndarray,
    axes: Sequence[str | int],
    size: int,
    condition: Condition | None = None,
) -> Iterator[Batch]:
    """Yield some queries at all timesteps of the grid, ``size`` images at a time.

    Args:
        process: The process of the models.
        x: [n, C, H, W] queries.
        positions: [Q] positions in x of the queries to yield; they key the noise.
        kind: "val" or "gen"; keys the noise.
        timesteps: [T].
        axes: Leading seed axes: experiment, seed.
        size: Images in a batch; memory grows with it, and not with T or Q.
        condition: Condition of the n queries of x, or None.

    Yields:
        Batches that together hold each pair of timestep and query once.
    """
    stream, pairs = (*axes, "outputs"), len(timesteps) * len(positions)
    for rows in blocks(pairs, size):
        k, column = np.divmod(np.arange(rows.start, rows.stop), len(positions))
        q = positions[column]
        draws = [
            noise_policies.draw("keyed", stream, kind, q[k == i], t, 0, x.shape[1:])
            for i, t in enumerate(timesteps.tolist())
            if (k == i).any()
        ]
        clean, eps = x[torch.from_numpy(q)], torch.from_numpy(np.concatenate(draws)).to(x)
        steps = torch.from_numpy(timesteps[k]).to(x.device)
        x_t, target = process.pair(clean, eps, steps)
        condition_of_rows = None if condition is None else condition[torch.from_numpy(q)]
        yield Batch(rows, x_t, process.time(steps), target, condition_of_rows)


def measure(
    models: Sequence[torch.nn.Module],
    base: torch.nn.Module,
    process: Process,
    queries: np.ndarray,
    kind: str,
    timesteps: tuple[np.ndarray, np.ndarray],
    axes: Sequence[str | int],
    condition: Condition | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of several models on all queries of a kind.

    Args:
        models: K denoisers in evaluation mode, on one device.
        base: The model trained on all examples.
        process: The process that they share.
        queries: [Q, C, H, W] float32 in [-1, 1].
        kind: "val" or "gen"; keys the noise.
        timesteps: Timesteps and weights, see ``grid``.
        axes: Leading seed axes: experiment, seed.
        condition: Condition of the Q queries, or None.

    Returns:
        loss [K, Q] float32, minus the mean squared error against the training target;
        displacement [K, Q] float32, minus the mean squared difference from the base's prediction.
    """
    steps, weights = timesteps
    by_timestep = measure_by_timestep(
        models, base, process, queries, kind, steps, axes, condition=condition
    )
    return tuple(np.einsum("ktq,t->kq", a, weights).astype(np.float32) for a in by_timestep)


@torch.inference_mode()
def measure_by_timestep(  # noqa: PLR0913 - those of measure, and two
    models: Sequence[torch.nn.Module],
    base: torch.nn.Module | None,
    process: Process,
    queries: np.ndarray,
    kind: str,
    steps: np.ndarray,
    axes: Sequence[str | int],
    *,
    chosen: Sequence[int] | None = None,
    condition: Condition | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Outputs as of ``measure``, for each timestep instead of their mean.

    Args:
        models: As for ``measure``.
        base: As for ``measure``; None to leave out the displacement.
        process: As for ``measure``.
        queries: As for ``measure``.
        kind: As for ``measure``.
        steps: [T] int64 timesteps. The timestep keys the noise: two grids that share a timestep
            have the same outputs there.
        axes: As for ``measure``.
        chosen: [Q] positions of the queries to measure, which key the noise; None for all.
        condition: As for ``measure``.

    Returns:
        loss [K, T, Q] and displacement [K, T, Q] (None without base), in the models' dtype.
    """
    x = torch.from_numpy(queries).to(next(models[0].parameters()))
    positions = np.arange(len(x)) if chosen is None else np.asarray(chosen)
    size = batch_size(x.shape[1:], x.device)
    loss = x.new_zeros(len(models), len(steps) * len(positions))
    displacement = None if base is None else torch.zeros_like(loss)
    condition = None if condition is None else condition.to(x)
    for batch in batches(process, x, positions, kind, steps, axes, size, condition):
        inputs = batch.x_t, batch.time, batch.condition
        before = None if base is None else denoiser.predict(base, *inputs)
        for k, model in enumerate(models):
            after = denoiser.predict(model, *inputs)
            loss[k, batch.rows] = -_mean_square(batch.target - after)
            if before is not None:
                displacement[k, batch.rows] = -_mean_square(before - after)
    shape = len(models), len(steps), len(positions)
    return tuple(
        None if a is None else a.cpu().numpy().reshape(shape) for a in (loss, displacement)
    )


def _mean_square(difference: torch.Tensor) -> torch.Tensor:
    """Mean square [n] of each image of [n, C, H, W]."""
    return difference.square().flatten(1).mean(1)
