"""An index of Fashion-MNIST's size: building it, its memory and disk, and questions to it.

The model is that of the experiment fashion with images of 16 x 16, the method the default one of an
index at T = 10 and P = 1024, floor included. Building is counted in training steps per image and
timestep, of the same network in the same batches. Questions are asked twice; the first time brings
the files into the page cache and does not count. Random images and weights: speed does not depend
on them. Beside it, the gradients and projections of two packages at the same P, on a few images.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import other_packages, timing
from benchmarks.features import training_step
from benchmarks.machine import ROOT
from benchmarks.problems import AXES, Problem
from benchmarks.scaling import peak_mb
from dasbench import Index
from dasbench.diffusion import checkpoints, denoiser
from dasbench.diffusion.families import pixel
from dasbench.experiments import config

SHAPE = (1, 16, 16)
DIFFUSION = {"timesteps": 1000, "beta_schedule": "linear", "prediction_type": "epsilon"}


class Size(NamedTuple):
    """How much is built, asked and compared.

    Attributes:
        images: N.
        timesteps: T.
        dimensions: P.
        asked: Queries of the larger question.
        steps: Images of a turn of training steps.
        others: Images that other packages get.
    """

    images: int
    timesteps: int
    dimensions: int
    asked: int
    steps: int
    others: int


FULL = Size(60_000, 10, 1024, 100, 256, 64)
QUICK = Size(40, 2, 128, 3, 8, 2)


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds, megabytes and ratios.

    Args:
        threads: Of torch.
        repeats: Turns of the training step and of the questions; the index is built once.
        quick: Tiny sizes, to see that it runs.
    """
    checkpoints.use_threads(threads)
    size = QUICK if quick else FULL
    settings = config.load("fashion", ROOT)["model"]
    model = pixel.build(settings, DIFFUSION, SHAPE, (*AXES, "index"))
    rng = np.random.default_rng(0)
    images, queries = (
        rng.integers(0, 256, (n, *SHAPE[1:], 1)).astype(np.uint8) for n in (size.images, size.asked)
    )
    with tempfile.TemporaryDirectory() as folder:
        options = {"timesteps": size.timesteps, "dimensions": size.dimensions}
        seconds = timing.once(lambda: Index.build(model, images, folder, **options))
        peak = peak_mb()
        disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        asked = _ask(folder, model, queries, repeats)
    step = _step(model, images[: size.steps], size.timesteps, repeats)
    per_image = seconds / (size.images * size.timesteps)
    return {
        "sizes": size._asdict(),
        "build_seconds": seconds,
        "step_ms": {key: 1e3 * value for key, value in step.items()},
        "build_vs_training_step": per_image / step["median"],
        "peak_mb": peak,
        "disk_mb": disk / 1e6,
        "ask_seconds": asked,
        "others_ms": _others(model, images[: size.others], size.dimensions, per_image),
    }


def _ask(
    folder: str, model: tuple[Any, Any], queries: np.ndarray, repeats: int
) -> dict[str, dict[str, float]]:
    """Seconds of a question with one image, and with all."""
    index = Index.open(folder, model)
    things = {"one": lambda: index.ask(queries[:1]), "many": lambda: index.ask(queries)}
    return timing.summaries(timing.interleaved(things, repeats))


def _step(
    model: tuple[Any, Any], images: np.ndarray, timesteps: int, repeats: int
) -> dict[str, float]:
    """Seconds of a training step for each image and timestep."""
    unet, process = model
    unet.eval().to(memory_format=torch.channels_last)  # the faster form on a CPU, as for features
    problem = Problem("index", unet, process, denoiser.to_model(images), batch=64)
    turns = timing.interleaved({"step": lambda: training_step(problem, timesteps)}, repeats)
    return timing.summary([t / (len(images) * timesteps) for t in turns["step"]])


def _others(
    model: tuple[Any, Any], images: np.ndarray, dimensions: int, ours: float
) -> dict[str, float]:
    """Milliseconds for an image and timestep: ours, and each package that is installed."""
    found = {"ours": 1e3 * ours}
    for package, run in other_packages.PACKAGES.items():
        if importlib.util.find_spec(package):
            seconds = timing.once(lambda run=run: run(model, images, dimensions))
            found[package] = 1e3 * seconds / len(images)
    return found


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Flat numbers, with one thread."""
    one = details["1"]
    return {
        "index_vs_training_step": one["build_vs_training_step"],
        "index_peak_gb": one["peak_mb"] / 1e3,
        "index_disk_gb": one["disk_mb"] / 1e3,
        "ask_one_seconds": one["ask_seconds"]["one"]["median"],
        "ask_hundred_seconds": one["ask_seconds"]["many"]["median"],
    }


def section(one: Mapping[str, Any]) -> str:
    """What the page says of the numbers of ``measure``."""
    sizes, asked = one["sizes"], one["ask_seconds"]
    others = ", ".join(f"{name} {ms:.1f}" for name, ms in one["others_ms"].items())
    return (
        f"N = {sizes['images']:,} images of 28 x 28, T = {sizes['timesteps']}, P = "
        f"{sizes['dimensions']:,}, one thread: built in {one['build_seconds'] / 60:.1f} minutes; a "
        f"training step takes {_range(one['step_ms'])} ms for each image and timestep. A question "
        f"with one image takes {_range(asked['one'])} s, with {sizes['asked']} images "
        f"{_range(asked['many'])} s, files in the page cache. Features at the same P, milliseconds "
        f"for each image and timestep: {others}."
    )


def _range(found: Mapping[str, float]) -> str:
    """Median with least and greatest."""
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})"
