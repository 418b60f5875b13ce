"""The process of a diffusion model: how images are noised, the target, and the steps of sampling.

Every computation that noises an image asks a ``Process``. A family's ``build`` and ``load`` return
it together with the network. Another kind of process is one more class here.

Symbols (Ho et al., 2020, arXiv 2006.11239): x image, t timestep, eps Gaussian noise,
abar_t = prod_{s<=t} (1 - beta_s). Shapes: n images of C channels, H and W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from diffusers import DDIMScheduler, DDPMScheduler

PREDICTIONS = ("epsilon", "sample", "v_prediction")


class Step(NamedTuple):
    """One step of sampling.

    Attributes:
        clean: [n, C, H, W] the images that the network predicts at this timestep.
        x: [n, C, H, W] the images after the step, less noisy than before.
    """

    clean: torch.Tensor
    x: torch.Tensor


class Sampler(Protocol):
    """A deterministic way from noise to images.

    Attributes:
        timesteps: The timesteps of the steps, from noise to image.
    """

    timesteps: list[int]

    def step(self, prediction: torch.Tensor, t: int, x: torch.Tensor) -> Step:
        """Take the step at timestep t from the images x and the network's prediction there."""


class Process(ABC):
    """The training timesteps of a model, and what happens at each.

    Timesteps are 0 .. total - 1, by ascending noise.

    Attributes:
        scheduler: The scheduler of diffusers that lies in the model's folder.
        total: Number of training timesteps.
        bounded: Whether samples are images in [-1, 1], so that they are clipped to it.
        settings: The section ``diffusion`` of an experiment with this process.
    """

    scheduler: Any
    total: int
    bounded: bool
    settings: dict[str, Any]

    @abstractmethod
    def pair(
        self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise some images.

        Args:
            x: [n, C, H, W] images or latents.
            noise: [n, C, H, W] standard normal.
            t: [n] int64 timesteps.

        Returns:
            x_t [n, C, H, W], the noised images, and [n, C, H, W], the training target there.
        """

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        """[n] float32 weights of the squared errors in the training loss at timesteps t [n]."""
        return torch.ones(len(t), device=t.device)

    def time(self, t: torch.Tensor) -> torch.Tensor:
        """[n] what the network takes as its time argument at timesteps t [n]."""
        return t

    @abstractmethod
    def sampler(self, steps: int) -> Sampler:
        """The deterministic sampler of this process.

        Args:
            steps: Number of denoising steps, 1 to ``total``.
        """


class Ddpm(Process):
    """Noising by a Markov chain: ``x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps``.

    The target is eps, x ("sample"), or v = sqrt(abar_t) eps - sqrt(1 - abar_t) x.

    Args:
        scheduler: Has the betas, the prediction type, and whether samples are clipped.

    Raises:
        ValueError: If the prediction type is unknown.

    Source: Ho et al. (2020), arXiv 2006.11239; v-prediction, Salimans and Ho (2022), 2202.00512.
    """

    def __init__(self, scheduler: DDPMScheduler):
        """Read the scheduler's configuration."""
        config = scheduler.config
        if config.prediction_type not in PREDICTIONS:
            raise ValueError(
                f"prediction_type must be epsilon, sample or v_prediction, got "
                f"{config.prediction_type!r}"
            )
        self.scheduler, self.total = scheduler, config.num_train_timesteps
        self.bounded = config.clip_sample
        keys = ("beta_schedule", "beta_start", "beta_end", "prediction_type")
        self.settings = {"timesteps": self.total, **{key: config[key] for key in keys}}

    def pair(
        self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``Process.pair``."""
        abar = self.scheduler.alphas_cumprod.to(device=t.device)[t].to(x)[:, None, None, None]
        x_t = abar.sqrt() * x + (1 - abar).sqrt() * noise
        prediction = self.scheduler.config.prediction_type
        if prediction == "epsilon":
            return x_t, noise
        if prediction == "sample":
            return x_t, x
        return x_t, abar.sqrt() * noise - (1 - abar).sqrt() * x

    def sampler(self, steps: int) -> Sampler:
        """DDIM, see ``Process.sampler``."""
        return Ddim(self.scheduler, steps)


class Ddim:
    """Deterministic DDIM (eta 0) with the betas and the prediction type of a training scheduler.

    Source: Song et al. (2021), arXiv 2010.02502, equation 12.
    """

    def __init__(self, scheduler: DDPMScheduler, steps: int):
        """Choose the timesteps."""
        self._ddim = DDIMScheduler.from_config(scheduler.config)
        self._ddim.set_timesteps(steps)
        self.timesteps = self._ddim.timesteps.tolist()

    def step(self, prediction: torch.Tensor, t: int, x: torch.Tensor) -> Step:
        """See ``Sampler.step``; the clean images are clipped where samples are."""
        step = self._ddim.step(prediction, t, x, eta=0.0)
        return Step(step.pred_original_sample, step.prev_sample)


def build(settings: Mapping[str, Any], bounded: bool = True) -> Process:
    """The process of an experiment.

    Args:
        settings: timesteps, beta_schedule, prediction_type; beta_start and beta_end may be given.
        bounded: Whether samples are images in [-1, 1], so that estimates of them are clipped.
    """
    more = {key: settings[key] for key in ("beta_start", "beta_end") if key in settings}
    return Ddpm(
        DDPMScheduler(
            num_train_timesteps=settings["timesteps"],
            beta_schedule=settings["beta_schedule"],
            prediction_type=settings["prediction_type"],
            clip_sample=bounded,
            **more,
        )
    )


def load(folder: Path, **changes: Any) -> Process:
    """The process of the scheduler that a folder holds.

    Args:
        folder: With ``scheduler_config.json``.
        **changes: Entries of the configuration that are replaced, such as ``clip_sample``.
    """
    return Ddpm(DDPMScheduler.from_pretrained(folder, local_files_only=True, **changes))


def of(scheduler: Process | DDPMScheduler) -> Process:
    """The process of a scheduler of diffusers; a process stays as it is."""
    return scheduler if isinstance(scheduler, Process) else Ddpm(scheduler)
