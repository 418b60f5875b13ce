"""An index of Fashion-MNIST's size: building it, its memory and disk, and questions to it.

The model is that of the experiment fashion with images of 16 x 16, the method the default one of an
index at T = 10 and P = 1024, floor included. Building is counted in training steps per image and
timestep, of the same network in the same batches. A question opens the index and compares the
hashes of its files; the first one brings the files into the page cache and does not count. Random
images and weights: speed does not depend on them. Beside it, what one would use instead: the
classes of two packages, and an index, on the same fewer images at one timestep and the same P, each
in a process of its own, so that its memory is seen.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
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


FULL = Size(60_000, 10, 1024, 100, 256, 256)
QUICK = Size(40, 2, 128, 3, 8, 2)
OURS = "an index"
CORES = 2  # for questions


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds, megabytes and ratios.

    Args:
        threads: Of torch.
        repeats: Turns of the training step and of the questions; the index is built once.
        quick: Tiny sizes, to see that it runs.
    """
    checkpoints.use_threads(threads)
    size = QUICK if quick else FULL
    model = _model()
    rng = np.random.default_rng(0)
    images, queries = (
        rng.integers(0, 256, (n, *SHAPE[1:], 1)).astype(np.uint8) for n in (size.images, size.asked)
    )
    with tempfile.TemporaryDirectory() as folder:
        options = {"timesteps": size.timesteps, "dimensions": size.dimensions}
        seconds = timing.once(lambda: Index.build(model, images, folder, **options))
        peak = peak_mb()
        disk = other_packages.disk_bytes(folder)
        checkpoints.use_threads(CORES)
        asked = _ask(folder, model, queries, repeats)
        checkpoints.use_threads(threads)
    step = _step(model, images[: size.steps], size.timesteps, repeats)
    count = size.images * size.timesteps
    per_image = seconds / count
    packages = [name for name in other_packages.PACKAGES if importlib.util.find_spec(name)]
    apart = _alone if quick else _in_its_own_process
    peers = {
        name: apart(name, images[: size.others], size.dimensions, threads)
        for name in (OURS, *packages)
    }
    return {
        "sizes": size._asdict(),
        "build_seconds": seconds,
        "step_ms": {key: 1e3 * value for key, value in step.items()},
        "build_vs_training_step": per_image / step["median"],
        "peak_mb": peak,
        "disk_mb": disk / 1e6,
        "ask_seconds": asked,
        "peers": peers,
    }


def _model() -> tuple[Any, Any]:
    """The network of the experiment fashion, with random weights, and its process."""
    settings = config.load("fashion", ROOT)["model"]
    return pixel.build(settings, DIFFUSION, SHAPE, (*AXES, "index"))


def _ask(
    folder: str, model: tuple[Any, Any], queries: np.ndarray, repeats: int
) -> dict[str, dict[str, float]]:
    """Seconds of a question with one image, and with all; each opens the index."""
    things = {
        "one": lambda: Index.open(folder, model).ask(queries[:1]),
        "many": lambda: Index.open(folder, model).ask(queries),
    }
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


def _in_its_own_process(
    name: str, images: np.ndarray, dimensions: int, threads: int
) -> dict[str, float]:
    """``_alone`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_alone, name, images, dimensions, threads).result()


def _alone(name: str, images: np.ndarray, dimensions: int, threads: int) -> dict[str, float]:
    """An index or a package, on some images at one timestep.

    Returns:
        ms and disk_kb for each image; peak_mb of the process, and before_mb before the work.
    """
    checkpoints.use_threads(threads)
    model, kept = _model(), []
    run = {OURS: _small_index, **other_packages.PACKAGES}[name]
    before = peak_mb()
    seconds = timing.once(lambda: kept.append(run(model, images, dimensions)))
    n = len(images)
    sizes = {"peak_mb": peak_mb(), "before_mb": before, "disk_kb": kept[0] / n / 1e3}
    return {"ms": 1e3 * seconds / n, **sizes}


def _small_index(model: tuple[Any, Any], images: np.ndarray, dimensions: int) -> int:
    """An index at one timestep; its bytes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        Index.build(model, images, folder, timesteps=1, dimensions=dimensions)
        return other_packages.disk_bytes(folder)


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
    count = sizes["images"] * sizes["timesteps"]
    lines = [
        f"| {sizes['others']} images at one timestep | ms for each | memory, MB | kB on disk for "
        f"each | hours for {count:,} |",
        "|---|---|---|---|---|",
    ]
    for name, each in one["peers"].items():
        disk = f"{each['disk_kb']:.1f}" if each["disk_kb"] else "none, in memory"
        lines.append(
            f"| {name} | {each['ms']:.2f} | {each['peak_mb'] - each['before_mb']:,.0f} | {disk} | "
            f"{each['ms'] * count / 3.6e6:.2f} |"
        )
    table = "\n".join(lines)
    return (
        f"N = {sizes['images']:,} images of {SHAPE[1]}×{SHAPE[2]}, T = {sizes['timesteps']}, P = "
        f"{sizes['dimensions']:,}, one thread: built in {one['build_seconds'] / 60:.1f} minutes. A "
        f"training step takes {_range(one['step_ms'])} ms for each image and timestep. A question "
        f"with one image takes {_range(asked['one'])} s on {CORES} cores, with {sizes['asked']} "
        f"images {_range(asked['many'])} s, opening the index included, with its files in the page "
        "cache.\n\nThe classes of two packages on the same problem, each in its own process. "
        "Memory is what the work adds to the loaded model. The last column follows if all "
        f"{count:,} images and timesteps took as long; the index of that size needed "
        f"{one['build_seconds'] / 3600:.2f} hours and {one['peak_mb']:,.0f} MB in all.\n\n{table}"
    )


def _range(found: Mapping[str, float]) -> str:
    """Median with least and greatest."""
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})"
