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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from dasbench.diffusion import flow, process_table
from dasbench.diffusion.process_table import PREDICTIONS
from dasbench.diffusion.samplers import Euler, Sampler, Step
from dasbench.errors import UserError, first_line


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

    def trained_with(self, settings: Mapping[str, Any]) -> Process:
        """This process with the recipe of a section ``diffusion``, if it has recipes."""
        return self

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Timesteps [count] int64 of training, one for each example."""
        return rng.integers(0, self.total, count)

    @abstractmethod
    def sampler(self, steps: int, shape: Sequence[int] | None = None) -> Sampler:
        """The deterministic sampler of this process.

        Args:
            steps: Number of denoising steps, 1 to ``total``.
            shape: (C, H, W) of the images or latents; some processes need it.
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
    def from_config(cls, config: Mapping[str, Any], images: bool = True) -> Ddpm:
        """The process of a configuration from ``process_table.resolve``, see ``load``."""
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

    def sampler(self, steps: int, shape: Sequence[int] | None = None) -> Sampler:
        """DDIM, see ``Process.sampler``."""
        return Ddim(self.scheduler, steps)


class Ddim:
    """Deterministic DDIM (eta 0) with the betas and the prediction type of a training scheduler.

    Source: Song et al. (2021), arXiv 2010.02502, equation 12.
    """

    def __init__(self, scheduler: DDPMScheduler, steps: int):
        """Choose the timesteps."""
        betas = {}
        if scheduler.config.beta_schedule in ("sigmoid", "laplace"):  # which DDIM does not have
            betas = {"trained_betas": scheduler.betas.tolist(), "rescale_betas_zero_snr": False}
        self._ddim = DDIMScheduler.from_config(scheduler.config, **betas)
        self._ddim.set_timesteps(steps)
        self.timesteps = self._ddim.timesteps.tolist()

    def time(self, t: int) -> float:
        """See ``Sampler.time``."""
        return t

    def step(self, prediction: torch.Tensor, t: int, x: torch.Tensor) -> Step:
        """See ``Sampler.step``; if the process is bounded, clip the clean images to [-1, 1]."""
        step = self._ddim.step(prediction, t, x, eta=0.0)
        return Step(step.pred_original_sample, step.prev_sample)


class Flow(Process):
    """Rectified flow: ``x_r = (1 - r) x + r eps`` with target eps - x, r the share of noise.

    The target has the sign of the convention. Features and outputs measure the velocity's squared
    error without a weight.

    Args:
        scheduler: Holds the shift; its sigmas are those that it was constructed with.
        convention: A name in ``flow.CONVENTIONS``.
        weighting: Weight of the training loss, a name in ``flow.WEIGHTINGS``.
        timestep_sampling: Draw of training timesteps, a name in ``flow.DRAWS``.
        bounded: Whether samples are images in [-1, 1].

    Raises:
        UserError: If the scheduler has another path.
    """

    def __init__(  # noqa: PLR0913 - one argument for each choice of a recipe
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        convention: str = "sd3",
        weighting: str = "none",
        timestep_sampling: str = "uniform",
        bounded: bool = False,
    ):
        """Copy the sigmas, and compute the tables of all timesteps."""
        process_table.check_path(scheduler.config, "the scheduler")
        self.scheduler, self.bounded = scheduler, bounded
        self.total = scheduler.config.num_train_timesteps
        self._convention, self._draw = convention, timestep_sampling
        self.training = {key: scheduler.config.get(key) for key in flow.TRAINING_KEYS}
        self.training["convention"] = convention
        self._row = flow.CONVENTIONS[convention]
        s = flow.sigmas(scheduler.config)
        s = s if self._row.reversed else s[::-1].copy()  # now noise ascends
        shares = flow.shares(s, self._row)
        self._shares = torch.from_numpy(shares)
        self._times = torch.from_numpy(flow.times(s, self._row, self.total)).float()
        weights = flow.WEIGHTINGS[weighting](s.astype(np.float64), shares.astype(np.float64))
        self._weights = torch.from_numpy(weights).float()
        self.settings = {
            "process": "flow",
            "timesteps": self.total,
            "shift": scheduler.config.shift,
            "weighting": weighting,
            "timestep_sampling": timestep_sampling,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], images: bool = True) -> Flow:
        """The process of a configuration from ``process_table.resolve``, see ``load``."""
        return cls(FlowMatchEulerDiscreteScheduler.from_config(dict(config)), bounded=images)

    def pair(
        self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``Process.pair``."""
        r = self._shares.to(t.device)[t].to(x)[:, None, None, None]
        return (1 - r) * x + r * noise, self._row.sign * (noise - x)

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        """See ``Process.weight``."""
        return self._weights.to(t.device)[t]

    def time(self, t: torch.Tensor) -> torch.Tensor:
        """See ``Process.time``."""
        return self._times.to(t.device)[t]

    def of_pipeline(self, convention: str) -> Flow:
        """The same flow with the convention of a pipeline."""
        return Flow(self.scheduler, convention, bounded=self.bounded)

    def trained_with(self, settings: Mapping[str, Any]) -> Flow:
        """See ``Process.trained_with``."""
        recipe = {key: settings[key] for key in ("weighting", "timestep_sampling")}
        return Flow(self.scheduler, self._convention, **recipe, bounded=self.bounded)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """See ``Process.draw``. A scheduler numbers its sigmas from the largest to the smallest."""
        place = flow.draw(self._draw, rng, count, self.total)
        return place if self._row.reversed else self.total - 1 - place

    def sampler(self, steps: int, shape: Sequence[int] | None = None) -> Sampler:
        """Euler, see ``Process.sampler``."""
        shares = flow.sampling_sigmas(self.scheduler.config, self._row, steps, shape)
        times = flow.times(flow.shares(shares[:-1], self._row), self._row, self.total)
        timesteps = flow.nearest(shares[:-1], self._shares.numpy())
        return Euler(shares, times, timesteps, self._row.sign, self.bounded)


def build(settings: Mapping[str, Any], bounded: bool = True) -> Process:
    """The process of an experiment.

    Args:
        settings: process ("ddpm" if missing). Of ddpm: timesteps, beta_schedule, prediction_type;
            optional: beta_start, beta_end, clip_sample. Of flow: timesteps, shift, weighting,
            timestep_sampling.
        bounded: Whether samples are images in [-1, 1], so that sampling clips its estimates unless
            ``clip_sample`` says otherwise.
    """
    if settings.get("process") == "flow":
        scheduler = FlowMatchEulerDiscreteScheduler(settings["timesteps"], settings["shift"])
        return Flow(
            scheduler,
            weighting=settings["weighting"],
            timestep_sampling=settings["timestep_sampling"],
            bounded=bounded,
        )
    more = {key: settings[key] for key in ("beta_start", "beta_end") if key in settings}
    return Ddpm(
        DDPMScheduler(
            num_train_timesteps=settings["timesteps"],
            beta_schedule=settings["beta_schedule"],
            prediction_type=settings["prediction_type"],
            clip_sample=settings.get("clip_sample", bounded),
            **more,
        )
    )


def load(folder: Path, images: bool = True, **changes: Any) -> Process:
    """The process of the scheduler in a folder.

    Args:
        folder: Contains ``scheduler_config.json``.
        images: Whether the model denoises images in [-1, 1]; the scheduler of a flow does not say.
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
    return from_config(config, str(file), images)


def from_config(config: Mapping[str, Any], where: str, images: bool = True) -> Process:
    """The process that a scheduler's configuration states, see ``process_table.resolve``."""
    found = process_table.resolve(config, where)
    return CLASSES[found.process].from_config(found.config, images)


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
    classes = type(scheduler).__mro__
    base = next((cls for cls in classes if process_table.kind_of(cls.__name__)), classes[0])
    process = from_config({**config, "_class_name": base.__name__}, "the scheduler")
    _check_noising(scheduler, base)
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


def _check_noising(scheduler: Any, base: type) -> None:
    """Refuse a scheduler that noises images in another way than its class in diffusers does.

    Args:
        scheduler: The scheduler.
        base: Its class in the table.

    Raises:
        UserError: If a method is replaced, or the sigmas are not those of the configuration.
    """
    for name in ("add_noise", "scale_noise", "get_velocity"):
        if name in vars(scheduler) or getattr(type(scheduler), name, None) is not getattr(
            base, name, None
        ):
            raise UserError(
                f"the scheduler, a {type(scheduler).__name__}, has a {name} of its own, expected "
                f"that of {base.__name__}: other noise would give wrong scores"
            )
    fresh = isinstance(scheduler, FlowMatchEulerDiscreteScheduler) and (
        getattr(scheduler, "num_inference_steps", None) is None  # set_timesteps replaces sigmas
    )
    if fresh and not np.allclose(scheduler.sigmas.cpu().numpy(), flow.sigmas(scheduler.config)):
        raise UserError(
            f"the scheduler, a {type(scheduler).__name__}, has other sigmas than its configuration "
            "gives; expected those of FlowMatchEulerDiscreteScheduler"
        )


# name of a process in the table -> its class
CLASSES: dict[str, type[Ddpm | Flow]] = {"ddpm": Ddpm, "flow": Flow}
