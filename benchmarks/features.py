"""Our features against a plain training step and against the released approach.

*ours* is the engine as the workflow calls it, ``features.Extractor`` with the two-sided projection,
noise and norms included; its matrices are drawn before, once for all images, as is the released
matrix. Flat numbers are those of the engine's default, oversampling 1; the experiment digits has
its own and is timed beside it (*own*), and so are exact norms (*exact*). A *training step* is
forward and backward with weight gradients of the mean loss, no optimizer, on the same noised images
in the same batches, noised by the same function. All are counted per image and timestep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import released, timing
from benchmarks.problems import DIMENSIONS, PROBLEMS, Problem, feature_settings, own_settings
from dasbench.diffusion import checkpoints


class Size(NamedTuple):
    """How much is timed, and how often.

    Attributes:
        images: Per problem.
        turns: Per problem and kind of comparison, at most so many turns.
        timesteps: The first is the one of the training step's flat numbers.
        dimensions: P.
    """

    images: dict[str, int]
    turns: dict[str, dict[str, int]]
    timesteps: tuple[int, ...] = (10, 1)
    dimensions: int = DIMENSIONS


FULL = Size(
    {"digits": 512, "fashion": 32},  # a whole pass each at T = 1
    {"digits": {"step": 5, "released": 3}, "fashion": {"step": 4, "released": 1}},
)
QUICK = Size(
    {"digits": 4, "fashion": 2},
    {name: {"step": 1, "released": 1} for name in PROBLEMS},
    dimensions=1024,
)


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds and ratios at both sizes.

    Args:
        threads: Of torch.
        repeats: Turns that count.
        quick: Tiny sizes, to see that it runs.
    """
    checkpoints.use_threads(threads)
    size = QUICK if quick else FULL
    return {name: _problem(name, size, repeats, threads == 1) for name in PROBLEMS}


def ours(
    problem: Problem, timesteps: int, dimensions: int, **others: Any
) -> Callable[[], list[np.ndarray]]:
    """Features of all images, as a function of nothing; ``others`` are further settings."""
    engine = problem.extractor(feature_settings(timesteps, dimensions, **others))
    return lambda: engine(problem.images, range(len(problem.images)), "train")


def training_step(problem: Problem, timesteps: int) -> None:
    """Forward and backward over the same noised images, in batches as ours."""
    for x_t, t, wanted in problem.noised(timesteps):
        problem.unet.zero_grad(set_to_none=True)
        loss = (wanted - problem.unet(x_t, t).sample).square().flatten(1).mean(1)
        loss.mean().backward()


def forward(problem: Problem, timesteps: int) -> None:
    """The forward pass alone: the part that no readout can do without."""
    with torch.inference_mode():
        for x_t, t, _ in problem.noised(timesteps):
            problem.unet(x_t, t)


def _problem(name: str, size: Size, repeats: int, drawing: bool) -> dict[str, Any]:
    problem = PROBLEMS[name](size.images[name])
    step, few = (min(repeats, size.turns[name][kind]) for kind in ("step", "released"))
    return {
        "parameters": problem.parameters,
        "batch": problem.batch,
        "images": len(problem.images),
        "oversampling": own_settings()["oversampling"],
        "engines": {
            f"T={t}": _against_training(problem, t, size.dimensions, step) for t in size.timesteps
        },
        "exact": _exact(problem, size.dimensions),
        "released": {
            f"T={t}": _against_released(problem, t, size.dimensions, few) for t in size.timesteps
        },
        # drawing the matrix of the larger model takes minutes
        "drawing": _drawing(problem, size.dimensions) if drawing and name == "digits" else {},
    }


def _against_training(
    problem: Problem, timesteps: int, dimensions: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds per image and timestep, and the ratios to the training step."""
    own = {"oversampling": own_settings()["oversampling"]}
    turns = timing.interleaved(
        {
            "ours": ours(problem, timesteps, dimensions),
            "training_step": lambda: training_step(problem, timesteps),
            "own": ours(problem, timesteps, dimensions, **own),
            "forward": lambda: forward(problem, timesteps),
        },
        repeats,
    )
    return {
        "ms": _per(turns, len(problem.images) * timesteps),
        "ratio": timing.ratio(turns["ours"], turns["training_step"]),
        "own_ratio": timing.ratio(turns["own"], turns["training_step"]),
        "forward_ratio": timing.ratio(turns["forward"], turns["training_step"]),
    }


def _exact(problem: Problem, dimensions: int) -> dict[str, Any]:
    """What dividing by the length of the unprojected gradient costs, in training steps; T = 1."""
    turns = timing.interleaved(
        {
            "exact": ours(problem, 1, dimensions, norms="exact"),
            "training_step": lambda: training_step(problem, 1),
        },
        1,
    )
    return {
        "ms": _per(turns, len(problem.images)),
        "ratio": timing.ratio(turns["exact"], turns["training_step"]),
    }


def _against_released(
    problem: Problem, timesteps: int, dimensions: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds per image, and how many times faster ours is.

    The dense product is timed on some columns of the matrix and scaled to P: a product costs in
    proportion to them.
    """
    gradients = torch.from_numpy(released.engine(problem, 1)())
    columns = min(released.COLUMNS, dimensions)
    own = {"oversampling": own_settings()["oversampling"]}
    turns = timing.interleaved(
        {
            "ours": ours(problem, timesteps, dimensions),
            "gradients": released.engine(problem, timesteps),
            "product": released.dense_product(gradients, columns),
            "own": ours(problem, timesteps, dimensions, **own),
        },
        repeats,
    )
    turns["product"] = [seconds * dimensions / columns for seconds in turns["product"]]
    turns["released"] = _sum(turns["gradients"], turns["product"])
    return {
        "ms": _per(turns, len(problem.images)),
        "speedup": timing.ratio(turns["released"], turns["ours"]),
        "own_speedup": timing.ratio(turns["released"], turns["own"]),
        "speedup_of_gradients_alone": timing.ratio(turns["gradients"], turns["ours"]),
    }


def _drawing(problem: Problem, dimensions: int) -> dict[str, float]:
    """Seconds of one call for all images that draws its matrix, T = 1.

    The engine's own reference, gradients included, and each package's projector of gradients that
    exist already.
    """
    gradients = torch.from_numpy(released.engine(problem, 1)())
    calls = {
        name: lambda project=project: project(gradients)
        for name, project in released.projectors(gradients.shape[1], dimensions).items()
    }
    calls["the reference engine, gradients included,"] = released.engine(problem, 1, dimensions)
    return {name: timing.once(call) for name, call in calls.items()}


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
