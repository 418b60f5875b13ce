"""Several readouts that share one forward pass, against one readout alone.

The limit for m readouts is (1 + m) / 2 of the cost of one, if a backward pass without weight
gradients costs what a forward pass does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks import timing
from benchmarks.problems import DIMENSIONS, PROBLEMS, feature_settings
from dasbench.diffusion import checkpoints

# of das, dtrak, trak and das_l1, each with whether gradients are normalised
READOUTS = (("mean", True), ("square", False), ("loss", False), ("l1", True))
COUNTS = (1, 2, 4)
TIMESTEPS = 2


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Milliseconds per image and timestep for 1, 2 and 4 readouts, and multiples of one.

    Args:
        threads: Of torch.
        repeats: Turns that count, at most 3.
        quick: Tiny sizes.
    """
    checkpoints.use_threads(threads)
    timesteps, dimensions = (1, 1024) if quick else (TIMESTEPS, DIMENSIONS)
    images = {"digits": 2 if quick else 512, "fashion": 2 if quick else 64}
    found = {}
    for name, make in PROBLEMS.items():
        problem = make(images[name])
        engines = {
            str(m): problem.extractor(
                feature_settings(timesteps, dimensions), readouts=READOUTS[:m]
            )
            for m in COUNTS
        }
        ids = range(len(problem.images))
        turns = timing.interleaved(
            {m: partial(engine, problem.images, ids, "train") for m, engine in engines.items()},
            min(repeats, 3),
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


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """No flat keys."""
    del details
    return {}
