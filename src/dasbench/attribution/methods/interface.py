"""Run a method of any family, all queries at once or a block of them at a time."""

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

BLOCK = 2**27  # bytes of one block of scores; a method and its transforms hold a few of them


def computed_path(inputs: Inputs, damping: Sequence[float]) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (damping, scores [N, Q]) of computed scores.

    Args:
        inputs: With ``computed``.
        damping: One value asks for that one; several, for all that were computed.

    Raises:
        ValueError: If the one value was not computed.
    """
    found = inputs.computed
    chosen = range(len(found.dampings))
    if len(damping) == 1:
        chosen = [g for g in chosen if np.isclose(found.dampings[g], damping[0], rtol=1e-9, atol=0)]
        if not chosen:
            raise ValueError(f"damping {damping[0]} is none of those computed: {found.dampings}")
    for g in chosen:
        whole = found.scores[g]
        scores = whole if inputs.positions is None else whole[:, inputs.positions]
        yield float(found.dampings[g]), np.asarray(scores, np.float64)


def family(options: Mapping[str, Any]) -> ModuleType:
    """The module of a method's family, by its name: a file beside this one."""
    return importlib.import_module(f"{__package__}.{options['module']}")


def leverages(options: Mapping[str, Any], inputs: Inputs, damping: float) -> np.ndarray | None:
    """h_i, [N] or [T, N], if the family has a kernel, else None."""
    module = family(options)
    return module.leverages(inputs, options, damping) if hasattr(module, "leverages") else None


def path(
    options: Mapping[str, Any], inputs: Inputs, damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Run the family that ``options["module"]`` names; see ``dasbench.attribution.methods``.

    What is no candidate of a query scores 0.
    """
    seen = inputs.candidates
    for value, scores in family(options).path(inputs, options, damping):
        yield value, scores if seen is None else np.where(seen, scores, 0.0)


def paths(
    options: Mapping[str, Any],
    inputs: Inputs,
    damping: Sequence[float],
    queries: Sequence[int] | None = None,
    memory: int = BLOCK,
) -> Iterator[Iterator[tuple[float | None, np.ndarray]]]:
    """``path`` for one block of queries after the other.

    Scores of a query do not depend on other queries, so blocks bound the memory and change the
    numbers by rounding at most.

    Args:
        options: Of the method.
        inputs: For all queries of a kind.
        damping: Relative dampings.
        queries: Which of them are asked about, in this order; None: all.
        memory: Bytes of one block of scores [N, q] or [T, N, q] in float64.

    Yields:
        A path per block; its scores are [N, q] or [T, N, q].
    """
    if hasattr(family(options), "prepare"):
        inputs = family(options).prepare(inputs, options)
    chosen = np.arange(inputs.shape[1]) if queries is None else np.asarray(queries)
    steps = 1 if inputs.query_timesteps is None else len(inputs.query_timesteps)
    for block in memory_blocks(len(chosen), 8 * steps * inputs.shape[0], memory):
        yield path(options, inputs.about(chosen[block]), damping)


def write_scores(
    file: Path, options: Mapping[str, Any], inputs: Inputs, damping: float, transform: str
) -> None:
    """Write transformed scores, float32 [N, Q], at one damping, a block of queries at a time."""
    with memmaps.create(file, inputs.shape, np.float32) as stored:
        start = 0
        for made in paths(options, inputs, [damping]):
            ((_, scores),) = made
            stop = start + scores.shape[-1]
            stored[:, start:stop] = transforms.combine(scores, transform)
            start = stop
