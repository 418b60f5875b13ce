"""At which timesteps features and residuals look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dasbench.diffusion import sampling


def timesteps(settings: Mapping[str, Any], total: int) -> np.ndarray:
    """Timesteps of features or residuals, [T] ascending integers.

    Args:
        settings: timesteps T, timestep_rule; optional: timestep_range [first, end), in which the
            rule places all T as it would in the whole of the process; None: 0 to ``total``.
        total: Timesteps of the diffusion process.

    Raises:
        ValueError: If the range holds fewer than T timesteps.
    """
    first, end = settings.get("timestep_range") or (0, total)
    return first + sampling.timestep_grid(
        settings["timesteps"], end - first, settings["timestep_rule"]
    )
