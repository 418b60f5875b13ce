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
from dasbench.core import memmaps
from dasbench.core.blocks import memory_blocks

BLOCK = 2**27  # bytes of one block of scores; a method and its transforms hold a few such blocks


def computed_path(inputs: Inputs, damping: Sequence[float]) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (damping, scores [N, Q]) of computed scores.

    Args:
        inputs: With ``computed``.
        damping: One value selects the scores at that damping; several values select the scores at
            all computed dampings.

    Raises:
        ValueError: If there is one value and no scores at that damping.
    """
    computed = inputs.computed
    indices = range(len(computed.dampings))
    if len(damping) == 1:
        value = damping[0]
        indices = [g for g in indices if np.isclose(computed.dampings[g], value, rtol=1e-9, atol=0)]
        if not indices:
            raise ValueError(f"damping {value} is none of those computed: {computed.dampings}")
    for g in indices:
        whole = computed.scores[g]
        scores = whole if inputs.positions is None else whole[:, inputs.positions]
        yield float(computed.dampings[g]), np.asarray(scores, np.float64)


def family(options: Mapping[str, Any]) -> ModuleType:
    """The module of a method's family: the file beside this one that ``module`` names."""
    return importlib.import_module(f"{__package__}.{options['module']}")


def leverages(options: Mapping[str, Any], inputs: Inputs, damping: float) -> np.ndarray | None:
    """h_i, [N] or [T, N], if the family has a kernel, else None."""
    module = family(options)
    return module.leverages(inputs, options, damping) if hasattr(module, "leverages") else None


def path(
    options: Mapping[str, Any], inputs: Inputs, damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Run the family that ``options["module"]`` names; see ``dasbench.attribution.methods``.

    Training examples that are not candidates of a query score 0.
    """
    allowed = inputs.candidates
    for value, scores in family(options).path(inputs, options, damping):
        yield value, scores if allowed is None else np.where(allowed, scores, 0.0)


def paths(
    options: Mapping[str, Any],
    inputs: Inputs,
    damping: Sequence[float],
    queries: Sequence[int] | None = None,
    memory: int = BLOCK,
) -> Iterator[Iterator[tuple[float | None, np.ndarray]]]:
    """``path`` for each block of queries, in order.

    Blocks bound the memory. Scores of a query do not depend on other queries, so blocks change the
    numbers by rounding at most.

    Args:
        options: Options of the method.
        inputs: For all queries of a kind.
        damping: Relative dampings.
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
        yield path(options, inputs.about(positions[block]), damping)


def write_scores(
    file: Path, options: Mapping[str, Any], inputs: Inputs, damping: float, transform: str
) -> None:
    """Write the transformed scores at one damping, float32 [N, Q], block by block of queries."""
    with memmaps.create(file, inputs.shape, np.float32) as stored:
        start = 0
        for block_path in paths(options, inputs, [damping]):
            ((_, scores),) = block_path
            stop = start + scores.shape[-1]
            stored[:, start:stop] = transforms.combine(scores, transform)
            start = stop
