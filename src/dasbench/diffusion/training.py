"""Train a denoiser on a subset of the training set, with random draws from named streams.

Every epoch draws an order, timesteps, noise and flips for all N examples of the full training set.
The position of an example in this set selects its draws. Leaving examples out therefore does not
change the draws of the others. Two processes of a data-parallel run see halves of the same batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel

from dasbench import seeds
from dasbench.core.blocks import blocks
from dasbench.diffusion import denoiser
from dasbench.diffusion.checkpoints import use_threads
from dasbench.diffusion.model_inputs import Data
from dasbench.diffusion.process import Process
from dasbench.errors import UserError


class Draws:
    """Random draws of one training run.

    Args:
        axes: Seed axes of the run: experiment, seed, use, model, retraining seed.
        shape: (N, C, H, W) of the full training set.
        process: Draws the timesteps.
    """

    def __init__(self, axes: Sequence[str | int], shape: tuple[int, ...], process: Process):
        """Keep the arguments; ``epoch`` draws."""
        self.axes, self.shape, self.process = tuple(axes), tuple(shape), process

    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Order [N], timesteps [N] int64, noise [N, C, H, W] float32, flips [N] bool."""
        n = self.shape[0]

        def stream(name: str) -> np.random.Generator:
            return seeds.generator(*self.axes, "training", name, epoch)

        return (
            stream("order").permutation(n),
            self.process.draw(stream("timestep"), n),
            stream("noise").standard_normal(self.shape, np.float32),
            stream("flip").integers(0, 2, n).astype(bool),
        )


def train(
    accelerator: Accelerator,
    network: torch.nn.Module,
    process: Process,
    data: Data | np.ndarray,
    mask: np.ndarray,
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
    after_epoch: Callable[[int, torch.nn.Module], None] | None = None,
) -> torch.nn.Module:
    """Minimise the simple diffusion loss on the examples of a subset.

    Args:
        accelerator: Places the model, runs the backward pass, averages over processes.
        network: The denoiser with its initial weights. Only weights that require a gradient are
            trained.
        process: Its process.
        data: The full training set; an array stands for ``Data(x)``.
        mask: [N] bool, the subset to train on.
        settings: The experiment's ``training`` section.
        axes: Seed axes of this run (see ``Draws``); stream "training".
        after_epoch: Function of (number of finished epochs, network with the averaged weights),
            called on the main process after every epoch.

    Returns:
        The network in evaluation mode, with the exponential moving average of its weights; with the
        last weights if ``ema_decay`` is None.

    Source: simple loss of Ho et al. (2020), equation 14.
    """
    data = Data(torch.from_numpy(data)) if isinstance(data, np.ndarray) else data
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer, rate = _optimizer(weights, settings, int(mask.sum()))
    torch.manual_seed(seeds.key(*axes, "training", "dropout") % 2**63)
    model, optimizer = accelerator.prepare(network.train(), optimizer)
    decay = settings["ema_decay"]
    average = None if decay is None else EMAModel(weights, decay=decay, foreach=True)
    draws = Draws(axes, data.x.shape, process)
    data = data.to(accelerator.device)
    for epoch in range(settings["epochs"]):
        for batch in _batches(draws.epoch(epoch), mask, settings["batch_size"]):
            _backward(accelerator, model, process, data, batch, settings)
            if settings["clip_norm"] is not None:
                accelerator.clip_grad_norm_(weights, settings["clip_norm"])
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            if average is not None:
                average.step(weights)
        if after_epoch is not None and accelerator.is_main_process:
            _with_average(weights, average, lambda epoch=epoch: after_epoch(epoch + 1, network))
    if average is not None:
        average.copy_to(weights)
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    accelerator.free_memory()
    return network.eval()


def _optimizer(
    weights: list[torch.nn.Parameter], settings: Mapping[str, Any], images: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, and the schedule of its learning rate over all steps."""
    steps = settings["epochs"] * -(-images // settings["batch_size"])
    fraction = settings.get("warmup_fraction")
    warmup = settings["warmup_steps"] if fraction is None else round(fraction * steps)
    optimizer = torch.optim.AdamW(
        weights,
        lr=settings["learning_rate"],
        betas=tuple(settings["betas"]),
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    return optimizer, get_scheduler(
        settings["schedule"], optimizer, num_warmup_steps=warmup, num_training_steps=steps
    )


def _with_average(
    weights: Iterable[torch.nn.Parameter], average: EMAModel | None, action: Callable[[], None]
) -> None:
    if average is None:
        return action()
    average.store(weights)
    average.copy_to(weights)
    action()
    return average.restore(weights)


def _batches(draws, mask: np.ndarray, size: int):
    """Split an epoch into batches of the subset: (positions, timesteps, noise, flips) each."""
    order, timesteps, noise, flips = draws
    positions = order[mask[order]]
    for rows in blocks(len(positions), size):
        i = positions[rows]
        yield i, timesteps[i], noise[i], flips[i]


def _backward(accelerator, model, process, data: Data, batch, settings) -> None:
    """Add up the gradients of a batch, piece by piece; processes synchronise at the last piece."""
    pieces = settings.get("gradient_accumulation", 1)
    for piece in range(pieces):
        last = piece == pieces - 1
        with nullcontext() if last else accelerator.no_sync(model):
            loss = _loss(accelerator, model, process, data, batch, settings["flip"], piece, pieces)
            accelerator.backward(loss)


def _loss(
    accelerator, model, process, data: Data, batch, flip: bool, piece: int = 0, pieces: int = 1
) -> torch.Tensor:
    """The weighted mean squared error of one piece of the batch, for this process.

    Pieces have unequal lengths, so each is weighted by length / (batch length / processes). The sum
    over pieces, averaged over processes, is then the mean over the batch. A process without images
    takes the first image with weight 0, because all processes must join the backward pass.
    """
    whole, world = len(batch[0]), accelerator.num_processes
    first = accelerator.process_index + world * piece
    part = slice(first, None, world * pieces) if first < whole else slice(0, 1)
    i, t, eps, flips = (torch.from_numpy(a[part]).to(accelerator.device) for a in batch)
    x = data.x[i]
    if flip:
        mirrored = x.flip(-1) if data.mirrored is None else data.mirrored[i]
        x = torch.where(flips[:, None, None, None], mirrored, x)
    x_t, target = process.pair(x, eps, t)
    condition = None if data.condition is None else data.condition[i]
    predicted = denoiser.predict(model, x_t, process.time(t), condition)
    errors = process.weight(t)[:, None, None, None] * (predicted - target).square()
    share = len(i) * world / whole if first < whole else 0.0
    return share * errors.mean()


def make_accelerator(threads: int, precision: str = "no") -> Accelerator:
    """The Accelerator of a job. The environment variable DAS_DEVICE=cpu keeps it off the GPU.

    Args:
        threads: Number of CPU threads.
        precision: Arithmetic of the forward pass: "no" for float32, "fp16" or "bf16". Weights stay
            float32.

    Raises:
        UserError: If the device does not support this arithmetic.
    """
    try:
        accelerator = Accelerator(
            cpu=os.environ.get("DAS_DEVICE") == "cpu", mixed_precision=precision
        )
    except ValueError as error:
        raise UserError(
            f"training.mixed_precision is {precision}, which this device cannot do ({error}); use "
            "bf16 or no"
        ) from error
    use_threads(threads)
    return accelerator
