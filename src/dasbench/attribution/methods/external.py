"""Scores computed outside this benchmark, evaluated without any change.

``scores: {val: path.npy, gen: path.npy}``, each [N, Q] (tuning queries first), float, no pickle.

Reference: the source of the scores.
Cost: unknown; the table of costs has no row for their computation.
Direction: as in the files; higher must mean more helpful, or more influential.
Does not apply: where scores of one kind of query are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import NO_PARAMETERS, Point

needs = ("scores",)


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield the scores of the files once; parameters, if any, were selected outside."""
    yield NO_PARAMETERS, inputs.scores.astype(np.float64)
