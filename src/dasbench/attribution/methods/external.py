"""Somebody else's scores, judged with no change here.

``scores: {val: path.npy, gen: path.npy}``, each [N, Q] (tuning queries first), float, no pickle.

Reference: whoever made them.
Cost: unknown here; the table of costs has no row for what made them.
Direction: as in the files; higher must mean more helpful, or more influential.
Does not apply: where scores of one kind of query are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs

needs = ("scores",)


def path(
    inputs: Inputs, options: Mapping[str, Any], damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield the given scores once; damping, if any, was chosen elsewhere."""
    yield None, inputs.scores.astype(np.float64)
