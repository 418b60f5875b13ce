"""Train a denoiser on a subset of the training set, with draws that are addressed by name.

The draws of an epoch (order, timesteps, noise, flips) are made for all N examples and indexed by
position in the full training set. Leaving examples out therefore changes nothing in the draws of
the others, and two processes of one data-parallel run see halves of the same batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel

from dasbench import diffusion, seeds
from dasbench.models import use_threads


class Draws:
    """Random draws of one training run.

    Args:
        axes: Seed axes of the run: experiment, seed, use, model, retraining seed.
        shape: (N, C, H, W) of the full training set.
        timesteps: Length of the diffusion process.
    """

    def __init__(self, axes: Sequence[str | int], shape: tuple[int, ...], timesteps: int):
        """Remember the names; nothing is drawn yet."""
        self.axes, self.shape, self.timesteps = tuple(axes), shape, timesteps

    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Order [N], timesteps [N] int64, noise [N, C, H, W] float32, flips [N] bool."""
        n = self.shape[0]

        def stream(name: str) -> np.random.Generator:
            return seeds.generator(*self.axes, "training", name, epoch)

        return (
            stream("order").permutation(n),
            stream("timestep").integers(0, self.timesteps, n),
            stream("noise").standard_normal(self.shape, np.float32),
            stream("flip").integers(0, 2, n).astype(bool),
        )


def train(
    accelerator: Accelerator,
    unet: UNet2DModel,
    scheduler: DDPMScheduler,
    images: np.ndarray,
    mask: np.ndarray,
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
    after_epoch: Callable[[int, UNet2DModel], None] | None = None,
) -> UNet2DModel:
    """Minimise the simple diffusion loss on the images of a subset.

    Args:
        accelerator: Places the model, runs the backward pass, averages over processes.
        unet: The denoiser with its initial weights.
        scheduler: Its DDPM scheduler.
        images: [N, C, H, W] float32 in [-1, 1], the full training set.
        mask: [N] bool, the subset to train on.
        settings: The experiment's ``training`` section.
        axes: Seed axes of this run (see ``Draws``); stream "training".
        after_epoch: Called as (epochs done, model with the averaged weights) on the main process.

    Returns:
        The UNet with the exponential moving average of its weights, in evaluation mode.

    Source: simple loss of Ho et al. (2020), equation 14.
    """
    steps_per_epoch = -(-int(mask.sum()) // settings["batch_size"])
    optimizer = torch.optim.AdamW(
        unet.parameters(),
        lr=settings["learning_rate"],
        betas=tuple(settings["betas"]),
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    rate = get_scheduler(
        settings["schedule"],
        optimizer,
        num_warmup_steps=settings["warmup_steps"],
        num_training_steps=settings["epochs"] * steps_per_epoch,
    )
    torch.manual_seed(seeds.key(*axes, "training", "dropout") % 2**63)
    model, optimizer = accelerator.prepare(unet.train(), optimizer)
    average = _average(unet, settings["ema_decay"])
    pixels = torch.from_numpy(images).to(accelerator.device)
    draws = Draws(axes, images.shape, scheduler.config.num_train_timesteps)
    for epoch in range(settings["epochs"]):
        for batch in _batches(draws.epoch(epoch), mask, settings["batch_size"]):
            loss = _loss(accelerator, model, scheduler, pixels, batch, settings["flip"])
            accelerator.backward(loss)
            if settings["clip_norm"] is not None:
                accelerator.clip_grad_norm_(model.parameters(), settings["clip_norm"])
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            if average is not None:
                average.step(unet.parameters())
        if after_epoch is not None and accelerator.is_main_process:
            _with_average(unet, average, lambda epoch=epoch: after_epoch(epoch + 1, unet))
    if average is not None:
        average.copy_to(unet.parameters())
    accelerator.free_memory()
    return unet.eval()


def _average(unet: UNet2DModel, decay: float | None) -> EMAModel | None:
    return None if decay is None else EMAModel(unet.parameters(), decay=decay, foreach=True)


def _with_average(unet: UNet2DModel, average: EMAModel | None, action: Callable[[], None]) -> None:
    if average is None:
        return action()
    average.store(unet.parameters())
    average.copy_to(unet.parameters())
    action()
    return average.restore(unet.parameters())


def _batches(draws, mask: np.ndarray, size: int):
    """Split an epoch into batches of the subset: (positions, timesteps, noise, flips) each."""
    order, timesteps, noise, flips = draws
    chosen = order[mask[order]]
    for start in range(0, len(chosen), size):
        i = chosen[start : start + size]
        yield i, timesteps[i], noise[i], flips[i]


def _loss(accelerator, model, scheduler, pixels, batch, flip: bool) -> torch.Tensor:
    """This process's part of the batch's mean squared error.

    Processes hold parts of unequal length; weighting by length / (whole / processes) makes the
    average over processes the mean over the whole batch.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    i, t, eps, flips = (torch.from_numpy(a[rank::world]).to(accelerator.device) for a in batch)
    x = pixels[i]
    if flip:
        x = torch.where(flips[:, None, None, None], x.flip(-1), x)
    abar = diffusion.alphas(scheduler, t, x)
    wanted = diffusion.target(x, eps, abar, scheduler.config.prediction_type)
    predicted = model(diffusion.noised(x, eps, abar), t).sample
    weight = len(i) * world / len(batch[0])
    return weight * torch.nn.functional.mse_loss(predicted, wanted)


def make_accelerator(threads: int) -> Accelerator:
    """The Accelerator of a job with ``threads`` CPU threads; DAS_DEVICE=cpu keeps it off a GPU."""
    made = Accelerator(cpu=os.environ.get("DAS_DEVICE") == "cpu")
    use_threads(threads)
    return made
