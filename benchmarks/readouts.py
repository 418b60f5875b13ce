"""Several readouts that share one forward pass, against as many separate computations.

The limit for m readouts is (1 + m) / 2 of the cost of one, if a backward pass without weight
gradients costs what a forward pass does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import timing
from benchmarks.features import DIMENSIONS, feature_settings
from benchmarks.problems import AXES, PROBLEMS, Problem
from dasbench import features, models

READOUTS = ("mean", "square", "loss", "l1")
COUNTS = (1, 2, 4)
TIMESTEPS = 10


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Milliseconds per image and timestep for 1, 2 and 4 readouts, and multiples of one.

    Args:
        threads: Of torch.
        repeats: Turns that count.
        quick: Tiny sizes.
    """
    models.use_threads(threads)
    timesteps, dimensions = (1, 64) if quick else (TIMESTEPS, DIMENSIONS)
    images = {"digits": 2 if quick else 256, "fashion": 2 if quick else 32}
    found = {}
    for name, make in PROBLEMS.items():
        problem = make(images[name])
        turns = timing.interleaved(
            {
                str(m): lambda p=problem, m=m: together(p, READOUTS[:m], timesteps, dimensions)
                for m in COUNTS
            },
            repeats,
        )
        scale = 1e3 / (images[name] * timesteps)
        found[name] = {
            str(m): {
                "ms": timing.summary([scale * s for s in turns[str(m)]]),
                "multiple_of_one": timing.ratio(turns[str(m)], turns["1"]),
                "limit": (1 + m) / 2,
            }
            for m in COUNTS
        }
    return found


def together(problem: Problem, readouts: Sequence[str], timesteps: int, dimensions: int) -> None:
    """Features of all images for every readout."""
    for readout in readouts:
        settings = feature_settings(timesteps, dimensions, readout)
        count = len(problem.images)
        features.compute(
            problem.unet, problem.scheduler, problem.images, range(count), "train", settings, AXES
        )


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """No flat keys."""
    del details
    return {}
