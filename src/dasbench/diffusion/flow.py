"""Rectified flow: the straight path from an image to noise, and what training does along it.

A scheduler of diffusers numbers the path by sigma s. Training pairs an image x with noise eps at
x_s = (1 - s) x + s eps, and the network learns the velocity eps - x. Some pipelines reverse the
path or the sign, or give the network another time argument. Each is a row of ``CONVENTIONS``.

Vocabulary:

* s, *sigma*: the number of the scheduler. On a reversed path it is the share of the image.
* r, the *share of noise*: s, or 1 - s on a reversed path. Timesteps ascend in r.

Shapes: T training timesteps, S sampling steps, n images.

Source: Liu et al. (2022), arXiv 2209.03003; Esser et al. (2024), arXiv 2403.03206. The rows were
compared with diffusers' training scripts ``train_dreambooth_lora_{sd3, flux, qwen_image, lumina2,
z_image}.py`` and with its pipelines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler


class Convention(NamedTuple):
    """How a pipeline uses the path.

    Attributes:
        reversed: Whether s is the share of the image: x_s = (1 - s) eps + s x.
        sign: The target of the network is sign * (eps - x).
        time: (a, b, c): the time argument is a + (b + c T) s.
        ends: Whether sampling spreads its sigmas from the largest to the smallest of training;
            otherwise they are 1, 1 - 1/S .. 1/S before the shift.
        patch: Side of a token in numbers of the latents, on whose count a dynamic shift depends.
            None: the pipeline takes the number of channels for that count.
    """

    reversed: bool
    sign: int
    time: tuple[float, float, float]
    ends: bool
    patch: int | None


# entries of the scheduler's configuration that give its sigmas when it is constructed
TRAINING_KEYS = ("num_train_timesteps", "shift", "use_dynamic_shifting")
CONVENTIONS: dict[str, Convention] = {
    "sd3": Convention(False, 1, (0, 0, 1), True, 2),
    "flux": Convention(False, 1, (0, 1, 0), False, 2),
    "qwen_image": Convention(False, 1, (0, 1, 0), False, 2),
    "lumina2": Convention(True, -1, (0, 1, 0), False, None),
    "z_image": Convention(False, -1, (1, -1, 0), False, 2),
}

# s [n], share of noise [n] -> weight of the squared error of the velocity [n]
WEIGHTINGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "none": lambda s, r: np.ones_like(s),
    "sigma_sqrt": lambda s, r: s**-2,
    "cosmap": lambda s, r: 2 / (math.pi * (1 - 2 * s + 2 * s**2)),
    # the error of the image x_s - r v that a prediction v implies, in the place of v's own
    "precondition": lambda s, r: r**2,
}

_MODE = 1.29  # scale of the "mode" draw in SD3 and in diffusers' scripts


def sigmas(config: Mapping[str, Any]) -> np.ndarray:
    """Training sigmas [T] float32 of a scheduler as constructed, from 1 down.

    They are copied from a new scheduler, because ``set_timesteps`` replaces those of a scheduler in
    place.
    """
    return FlowMatchEulerDiscreteScheduler.from_config(dict(config)).sigmas.numpy().copy()


def shares(sigma: np.ndarray, convention: Convention) -> np.ndarray:
    """Shares of noise at given sigmas."""
    return 1 - sigma if convention.reversed else sigma


def times(sigma: np.ndarray, convention: Convention, total: int) -> np.ndarray:
    """Time arguments of the network at given sigmas; ``total`` is T."""
    a, b, c = convention.time
    return a + (b + c * total) * sigma


def draw(name: str, rng: np.random.Generator, count: int, total: int) -> np.ndarray:
    """Positions of training draws in a scheduler's descending sigmas, floor(T u).

    Args:
        name: Distribution of u: "uniform"; "logit_normal", the sigmoid of a standard normal;
            "mode", equation 20 of Esser et al. (2024) with scale 1.29.
        rng: Random numbers.
        count: n.
        total: T.

    Returns:
        [n] int64 in 0 .. T - 1.
    """
    u = rng.standard_normal(count) if name == "logit_normal" else rng.random(count)
    if name == "logit_normal":
        u = 1 / (1 + np.exp(-u))
    elif name == "mode":
        u = 1 - u - _MODE * (np.cos(np.pi * u / 2) ** 2 - 1 + u)
    return np.clip((u * total).astype(np.int64), 0, total - 1)  # "mode" can be 1


DRAWS = ("uniform", "logit_normal", "mode")


def sampling_sigmas(
    config: Mapping[str, Any], convention: Convention, steps: int, shape: Sequence[int] | None
) -> np.ndarray:
    """Shares of noise [S + 1] at the Euler steps of a pipeline, from 1 to 0.

    Args:
        config: Configuration of the scheduler.
        convention: Row of ``CONVENTIONS``.
        steps: S.
        shape: (C, H, W) of the images or latents, on which a dynamic shift depends.

    Raises:
        ValueError: If the shift is dynamic and there is no shape.
    """
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(dict(config))
    options: dict[str, Any] = {}
    if scheduler.config.use_dynamic_shifting:
        if shape is None:
            raise ValueError("a dynamic shift needs the shape of the images")
        options["mu"] = dynamic_shift(scheduler.config, convention, shape)
    if convention.ends:
        scheduler.set_timesteps(steps, **options)
    else:
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), **options)
    return scheduler.sigmas.numpy().astype(np.float64)


def dynamic_shift(config: Mapping[str, Any], convention: Convention, shape: Sequence[int]) -> float:
    """The parameter mu of a dynamic shift: linear in the number of tokens."""
    channels, height, width = shape
    patch = convention.patch
    tokens = channels if patch is None else (height // patch) * (width // patch)
    first, last = config["base_image_seq_len"], config["max_image_seq_len"]
    slope = (config["max_shift"] - config["base_shift"]) / (last - first)
    return config["base_shift"] + slope * (tokens - first)


def nearest(shares_of_steps: np.ndarray, training: np.ndarray) -> list[int]:
    """The training timestep nearest each sampling step; distinct, from noise to image.

    Args:
        shares_of_steps: [S] descending shares of noise.
        training: [T] ascending shares of noise, S <= T.
    """
    closest = np.abs(training - shares_of_steps[:, None]).argmin(1)
    timesteps: list[int] = []
    for k, t in enumerate(closest.tolist()):
        below = timesteps[-1] - 1 if timesteps else len(training) - 1
        timesteps.append(max(min(t, below), len(closest) - 1 - k))  # leave room for the rest
    return timesteps
