"""Run a method of any family, for all queries at once or for one block of queries at a time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dasbench.attribution import transforms
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import NO_PARAMETERS, Point
from dasbench.core import memmaps
from dasbench.core.blocks import memory_blocks

BLOCK = 2**27  # bytes of one block of scores; a method and its transforms hold a few such blocks


def computed_path(
    inputs: Inputs, points: Sequence[Point], name: str
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [N, Q]) of computed scores.

    Args:
        inputs: With ``computed``.
        points: Points with one parameter, whose values have been computed.
        name: The parameter.

    Raises:
        ValueError: If there are no scores at a value.
    """
    values = inputs.computed.values
    for point in points:
        match = np.flatnonzero(np.isclose(values, point[name], rtol=1e-9, atol=0))
        if not len(match):
            raise ValueError(f"{name} {point[name]} is none of those computed: {values}")
        whole = inputs.computed.scores[match[0]]
        scores = whole if inputs.positions is None else whole[:, inputs.positions]
        yield point, np.asarray(scores, np.float64)


def family(options: Mapping[str, Any]) -> ModuleType:
    """The module of a method's family: the file beside this one that ``module`` names."""
    return importlib.import_module(f"{__package__}.{options['module']}")


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The points of a method, of which tuning data select one; see ``attribution.parameters``.

    Args:
        options: Options of the method.
        dampings: The experiment's relative dampings, ascending.

    Returns:
        At least one point; a family without the function ``grid`` has no parameters.
    """
    module = family(options)
    return module.grid(options, dampings) if hasattr(module, "grid") else [NO_PARAMETERS]


def leverages(options: Mapping[str, Any], inputs: Inputs, point: Point) -> np.ndarray | None:
    """h_i, [N] or [T, N], if the family has a kernel, else None."""
    module = family(options)
    if not hasattr(module, "leverages"):
        return None
    return module.leverages(inputs, options, point["damping"])


def path(
    options: Mapping[str, Any], inputs: Inputs, points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Run the family that ``options["module"]`` names; see ``dasbench.attribution.methods``.

    Training examples that are not candidates of a query score 0.

    Args:
        options: Options of the method.
        inputs: For some queries of a kind.
        points: Points of ``grid``, in this order.
    """
    allowed = inputs.candidates
    for point, scores in family(options).path(inputs, options, points):
        yield point, scores if allowed is None else np.where(allowed, scores, 0.0)


def paths(
    options: Mapping[str, Any],
    inputs: Inputs,
    points: Sequence[Point],
    queries: Sequence[int] | None = None,
    memory: int = BLOCK,
) -> Iterator[Iterator[tuple[Point, np.ndarray]]]:
    """``path`` for each block of queries, in order.

    Blocks bound the memory. Scores of a query do not depend on other queries, so blocks change the
    numbers by rounding at most.

    Args:
        options: Options of the method.
        inputs: For all queries of a kind.
        points: Points of ``grid``.
        queries: Positions of the queries to score, in this order; None: all.
        memory: Bytes of one block of scores [N, q] or [T, N, q] in float64.

    Yields:
        A path per block; its scores are [N, q] or [T, N, q].
    """
    if hasattr(family(options), "prepare"):
        inputs = family(options).prepare(inputs, options)
    positions = np.arange(inputs.shape[1]) if queries is None else np.asarray(queries)
    steps = 1 if inputs.query_timesteps is None else len(inputs.query_timesteps)
    for block in memory_blocks(len(positions), 8 * steps * inputs.shape[0], memory):
        yield path(options, inputs.about(positions[block]), points)


def write_scores(
    file: Path, options: Mapping[str, Any], inputs: Inputs, point: Point, transform: str
) -> None:
    """Write the transformed scores at one point, float32 [N, Q], block by block of queries."""
    with memmaps.create(file, inputs.shape, np.float32) as stored:
        start = 0
        for block_path in paths(options, inputs, [point]):
            ((_, scores),) = block_path
            stop = start + scores.shape[-1]
            stored[:, start:stop] = transforms.combine(scores, transform)
            start = stop
