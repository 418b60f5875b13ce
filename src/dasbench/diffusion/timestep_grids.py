"""Grids of timesteps, at which features, residuals and outputs are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def timestep_grid(count: int, total: int, rule: str = "midpoint") -> np.ndarray:
    """Evenly spread timesteps.

    Args:
        count: T.
        total: Length of the diffusion process.
        rule: "midpoint", t_k = floor((k + 1/2) total / T); "released", t_k = k total / T.

    Returns:
        [T] int64, ascending, distinct.

    Raises:
        ValueError: If T is not in 1 .. total.
    """
    if not 1 <= count <= total:
        raise ValueError(
            f"timesteps must be 1 to {total}, got {count}; change it in the experiment file"
        )
    k = np.arange(count)
    doubled = 2 * k + 1 if rule == "midpoint" else 2 * k
    return doubled * total // (2 * count)


def timesteps(settings: Mapping[str, Any], total: int) -> np.ndarray:
    """Timesteps of features or residuals, [T] ascending integers.

    Args:
        settings: timesteps T, timestep_rule; optional: timestep_range [first, end), the range in
            which the rule places all T timesteps; None for the whole process.
        total: Timesteps of the diffusion process.

    Raises:
        ValueError: If the range holds fewer than T timesteps.
    """
    first, end = settings.get("timestep_range") or (0, total)
    return first + timestep_grid(settings["timesteps"], end - first, settings["timestep_rule"])
