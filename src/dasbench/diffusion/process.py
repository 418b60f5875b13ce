"""The process of a diffusion model: its noising, its training target, and its sampling steps.

Every computation that noises an image calls a ``Process``. ``build`` and ``load`` of a family
return it together with the network. To add another kind of process, add a class here and to
``CLASSES``, and its row to ``dasbench.diffusion.process_table``.

Symbols (Ho et al., 2020, arXiv 2006.11239): x image, t timestep, eps Gaussian noise,
abar_t = prod_{s<=t} (1 - beta_s). Shapes: n images of C channels, H and W pixels.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from diffusers import DDIMScheduler, DDPMScheduler

from dasbench.diffusion import process_table
from dasbench.diffusion.process_table import PREDICTIONS
from dasbench.errors import UserError, first_line


class Step(NamedTuple):
    """One step of sampling.

    Attributes:
        clean: [n, C, H, W] estimates of the clean images, from the prediction at this timestep.
        x: [n, C, H, W] the images after the step, less noisy than before.
    """

    clean: torch.Tensor
    x: torch.Tensor


class Sampler(Protocol):
    """A deterministic way from noise to images.

    Attributes:
        timesteps: The timestep of each step, from noise to image.
    """

    timesteps: list[int]

    def step(self, prediction: torch.Tensor, t: int, x: torch.Tensor) -> Step:
        """Take the step at timestep t.

        Args:
            prediction: [n, C, H, W] output of the network at (x, t).
            t: One of ``timesteps``.
            x: [n, C, H, W] noisy images.
        """


class Process(ABC):
    """The training timesteps of a model, and the noising, target and weight at each of them.

    Timesteps are 0 .. total - 1. Noise grows with the timestep.

    Attributes:
        scheduler: The scheduler of diffusers, which the folder of the model holds.
        total: Number of training timesteps.
        bounded: Whether samples are images in [-1, 1]; sampling then clips them to this range.
        settings: The section ``diffusion`` of an experiment with this process.
        training: Entries of the scheduler's configuration that training depends on; the others are
            for sampling.
    """

    scheduler: Any
    total: int
    bounded: bool
    settings: dict[str, Any]
    training: dict[str, Any]

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
            x_t [n, C, H, W], the noised images, and their training targets [n, C, H, W].
        """

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        """Weights [n] float32 of the squared errors in the training loss, at timesteps t [n]."""
        return torch.ones(len(t), device=t.device)

    def time(self, t: torch.Tensor) -> torch.Tensor:
        """Time arguments [n] of the network at timesteps t [n]."""
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
        scheduler: Holds the betas, the prediction type, and whether to clip samples.

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
        self.training = {key: config.get(key) for key in process_table.TRAINING_KEYS}
        self.training["rescale_betas_zero_snr"] = bool(config.get("rescale_betas_zero_snr"))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Ddpm:
        """The process of a configuration from ``process_table.resolve``."""
        return cls(DDPMScheduler.from_config(config))

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
        """See ``Sampler.step``; if the process is bounded, clip the clean images to [-1, 1]."""
        step = self._ddim.step(prediction, t, x, eta=0.0)
        return Step(step.pred_original_sample, step.prev_sample)


def build(settings: Mapping[str, Any], bounded: bool = True) -> Process:
    """The process of an experiment.

    Args:
        settings: timesteps, beta_schedule, prediction_type; optional: beta_start, beta_end.
        bounded: Whether samples are images in [-1, 1], so that sampling clips its estimates.
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
    """The process of the scheduler in a folder.

    Args:
        folder: Contains ``scheduler_config.json``.
        **changes: New values of entries of the configuration, such as ``clip_sample``.

    Raises:
        UserError: If the process is not supported, or the file does not state it completely.
    """
    file = folder / "scheduler_config.json"
    try:
        config = {**json.loads(file.read_text(encoding="utf-8")), **changes}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{file} cannot be read ({first_line(error)}); copy or save the model again"
        ) from error
    return from_config(config, str(file))


def from_config(config: Mapping[str, Any], where: str) -> Process:
    """The process that a scheduler's configuration states, see ``process_table.resolve``."""
    found = process_table.resolve(config, where)
    return CLASSES[found.process].from_config(found.config)


def of(scheduler: Any) -> Process:
    """The process of a scheduler of diffusers; a process is returned unchanged.

    Raises:
        UserError: If the process is not supported.
    """
    if isinstance(scheduler, Process):
        return scheduler
    config = getattr(scheduler, "config", None)
    if not isinstance(config, Mapping):
        raise UserError(
            f"the scheduler is a {type(scheduler).__name__}; expected one of diffusers, such as "
            "DDPMScheduler, with which the model was trained"
        )
    # the name of a subclass is not in the table, that of its base class may be
    names = [cls.__name__ for cls in type(scheduler).__mro__]
    name = next((name for name in names if process_table.kind_of(name)), names[0])
    process = from_config({**config, "_class_name": name}, "the scheduler")
    if isinstance(scheduler, DDPMScheduler):
        return Ddpm(scheduler)  # a subclass may have betas of its own
    ours, theirs = (getattr(s, "alphas_cumprod", None) for s in (process.scheduler, scheduler))
    if (
        ours is not None
        and theirs is not None
        and not torch.allclose(ours, theirs.to(ours), atol=1e-6)
    ):
        raise UserError(
            f"the scheduler, a {type(scheduler).__name__}, has other alphas_cumprod than its "
            "configuration gives; expected a DDPMScheduler with trained_betas"
        )
    return process


# name of a process in the table -> its class
CLASSES: dict[str, type[Ddpm]] = {"ddpm": Ddpm}
