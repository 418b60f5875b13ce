"""Our features against a plain training step and against the released approach.

*ours* is ``dasbench.features.compute`` as the workflow calls it, projection and noise included. A
*training step* is forward and backward with weight gradients of the mean loss, no optimizer, on the
same noised images in batches of the same size. Both are counted per image and timestep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from benchmarks import released, timing
from benchmarks.problems import AXES, PROBLEMS, Problem, projection_kind
from dasbench import features, models

DIMENSIONS = 4096


class Size(NamedTuple):
    """How much is timed.

    Attributes:
        images: Per problem, for ours and the training step.
        few: Per problem, for the released approach, which is dearer.
        dimensions: P.
    """

    images: dict[str, int]
    few: dict[str, int]
    dimensions: int = DIMENSIONS


FULL = Size({"digits": 256, "fashion": 32}, {"digits": 128, "fashion": 32})
QUICK = Size({"digits": 4, "fashion": 2}, {"digits": 4, "fashion": 2}, 64)


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds and ratios at both sizes.

    Args:
        threads: Of torch.
        repeats: Turns that count.
        quick: Tiny sizes, to see that it runs.
    """
    models.use_threads(threads)
    size = QUICK if quick else FULL
    return {name: _problem(name, size, repeats) for name in PROBLEMS}


def ours(problem: Problem, timesteps: int, dimensions: int) -> None:
    """Features of all images with the defaults of ``das_common``."""
    settings = feature_settings(timesteps, dimensions)
    count = len(problem.images)
    features.compute(
        problem.unet, problem.scheduler, problem.images, range(count), "train", settings, AXES
    )


def training_step(problem: Problem, timesteps: int) -> None:
    """Forward and backward over the same noised images, in batches as ours."""
    for x_t, t, wanted in problem.noised(timesteps):
        problem.unet.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(problem.unet(x_t, t).sample, wanted).backward()


def forward(problem: Problem, timesteps: int) -> None:
    """The forward pass alone: the part that no readout can do without."""
    with torch.inference_mode():
        for x_t, t, _ in problem.noised(timesteps):
            problem.unet(x_t, t)


def feature_settings(timesteps: int, dimensions: int, readout: str = "mean") -> dict[str, Any]:
    """Settings of ``features.compute``: those of ``das_common`` but for the sizes."""
    return {
        "readout": readout,
        "normalise": True,
        "noise": "common",
        "timesteps": timesteps,
        "timestep_rule": "midpoint",
        "draws": 1,
        "dimensions": dimensions,
        "projection": projection_kind(),
        "norms": "projected",
    }


def _problem(name: str, size: Size, repeats: int) -> dict[str, Any]:
    many = PROBLEMS[name](size.images[name])
    found = {"parameters": many.parameters, "batch": many.batch, "images": len(many.images)}
    found["engines"] = {
        f"T={t}": _against_training(many, t, size.dimensions, repeats) for t in (10, 1)
    }
    few = PROBLEMS[name](size.few[name])
    found["released"] = {
        f"T={t}": _against_released(few, t, size.dimensions, repeats) for t in (10, 1)
    }
    if name == "digits":  # drawing the matrix of the larger model takes minutes
        found["projectors"] = _projectors(few, size.dimensions)
    return found


def _against_training(
    problem: Problem, timesteps: int, dimensions: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds per image and timestep, and the ratios to the training step."""
    turns = timing.interleaved(
        {
            "ours": lambda: ours(problem, timesteps, dimensions),
            "training_step": lambda: training_step(problem, timesteps),
            "forward": lambda: forward(problem, timesteps),
        },
        repeats,
    )
    return {
        "ms": _per(turns, len(problem.images) * timesteps),
        "ratio": timing.ratio(turns["ours"], turns["training_step"]),
        "forward_ratio": timing.ratio(turns["forward"], turns["training_step"]),
    }


def _against_released(
    problem: Problem, timesteps: int, dimensions: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds per image, and how many times faster ours is.

    The dense product is timed on some columns of the matrix and scaled to P: a product costs in
    proportion to them.
    """
    gradients = released.averaged_gradients(problem, 1)
    columns = min(released.COLUMNS, dimensions)
    turns = timing.interleaved(
        {
            "ours": lambda: ours(problem, timesteps, dimensions),
            "gradients": lambda: released.averaged_gradients(problem, timesteps),
            "product": released.dense_product(gradients, columns),
        },
        repeats,
    )
    turns["product"] = [seconds * dimensions / columns for seconds in turns["product"]]
    turns["released"] = _sum(turns["gradients"], turns["product"])
    return {
        "ms": _per(turns, len(problem.images)),
        "speedup": timing.ratio(turns["released"], turns["ours"]),
        "speedup_of_gradients_alone": timing.ratio(turns["gradients"], turns["ours"]),
    }


def _projectors(problem: Problem, dimensions: int) -> dict[str, float]:
    """Seconds of one call of each package's projector for all images, its matrix drawn within."""
    gradients = released.averaged_gradients(problem, 1)
    made = released.projectors(problem.parameters, dimensions)
    found = timing.interleaved(
        {name: lambda project=project: project(gradients) for name, project in made.items()}, 1
    )
    return {name: seconds[0] for name, seconds in found.items()}


def _per(turns: timing.Turns, count: int) -> dict[str, dict[str, float]]:
    """Summaries in milliseconds of one of ``count``."""
    scaled = {name: [1e3 * s / count for s in values] for name, values in turns.items()}
    return timing.summaries(scaled)


def _sum(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x + y for x, y in zip(a, b, strict=True)]


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Flat results, from one thread: the workflow gives such jobs one.

    ``features_vs_released_t1`` is the smaller of the two sizes.
    """
    one = details["1"]
    results = {}
    for name in PROBLEMS:
        at_10 = one[name]["engines"]["T=10"]["ratio"]["median"]
        results[f"features_vs_training_step_{name}"] = at_10
        speedup = one[name]["released"]["T=10"]["speedup"]["median"]
        results[f"features_vs_released_{name}"] = speedup
    results["features_vs_released_t1"] = min(
        one[name]["released"]["T=1"]["speedup"]["median"] for name in PROBLEMS
    )
    return results
