"""Run a method of any family, for all queries at once or for one block of queries at a time.

A score is the mean over its *parts* of transformed scores. Most scores have one part; with kernels
that keep timesteps apart, each timestep is a part. Shapes: N training examples, Q queries of a
kind, q of a block.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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


def parts(options: Mapping[str, Any], inputs: Inputs) -> Sequence[Callable[[], Inputs]]:
    """Functions that prepare the inputs of one part of a score each, such as a timestep.

    A score is the mean of the transformed scores of its parts. Call them one after the other, and
    let go of the inputs of a part before the next: each may hold a decomposed kernel.

    Args:
        options: Options of the method.
        inputs: For all queries of a kind, or for some.

    Returns:
        At least one function; a family without the function ``parts`` has a single part.
    """
    module = family(options)
    return module.parts(inputs, options) if hasattr(module, "parts") else [lambda: inputs]


def path(
    options: Mapping[str, Any], inputs: Inputs, points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [N, Q]) of a method whose scores have a single part.

    Training examples that are not candidates of a query score 0.

    Args:
        options: Options of the method.
        inputs: For some queries of a kind.
        points: Points of ``grid``, in this order.

    Raises:
        ValueError: If the scores have several parts, which must be transformed one by one.
    """
    prepared = parts(options, inputs)
    if len(prepared) > 1:
        raise ValueError(f"the scores have {len(prepared)} parts; add them up as write_scores does")
    yield from _path(options, prepared[0](), points)


def _path(
    options: Mapping[str, Any], part: Inputs, points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Run the family that ``options["module"]`` names; see ``dasbench.attribution.methods``."""
    allowed = part.candidates
    for point, scores in family(options).path(part, options, points):
        yield point, scores if allowed is None else np.where(allowed, scores, 0.0)


class Request(NamedTuple):
    """Scores to compute for one kind of query.

    Attributes:
        inputs: For all queries of the kind.
        points: Points of ``grid``.
        queries: Positions of the queries, in this order; None: all.
        leverage_at: The point at which leverages are wanted; None: nowhere.
    """

    inputs: Inputs
    points: Sequence[Point]
    queries: Sequence[int] | None = None
    leverage_at: Point | None = None


class Block(NamedTuple):
    """One part of the scores of a block of queries.

    Attributes:
        kind: Key of its request.
        columns: Places of its queries among those of the request.
        part: Index of the part.
        parts: Number of parts of the scores.
        path: Yields (point, scores [N, q] float64) of this part; to be read before the next block.
        leverages: [N] h_i of the part, with the first block of a request that wants them and whose
            family has a kernel; else None.
    """

    kind: str
    columns: slice
    part: int
    parts: int
    path: Iterator[tuple[Point, np.ndarray]]
    leverages: np.ndarray | None = None


def blocks(
    options: Mapping[str, Any], requests: Mapping[str, Request], memory: int = BLOCK
) -> Iterator[Block]:
    """Yield the scores of several kinds of queries, part by part and block by block.

    The parts run outermost: a kernel is decomposed once for all kinds, and one is held at a time.
    Blocks bound the memory. Scores of a query do not depend on other queries, so blocks change the
    numbers by rounding at most.

    Args:
        options: Options of the method.
        requests: Kind -> what is wanted of it.
        memory: Bytes of one block of scores [N, q] in float64.
    """
    prepared = [parts(options, request.inputs) for request in requests.values()]
    for index, makers in enumerate(zip(*prepared, strict=True)):
        for (kind, request), make in zip(requests.items(), makers, strict=True):
            for columns, scores, h in _blocks(options, request, make(), memory):
                yield Block(kind, columns, index, len(prepared[0]), scores, h)


def _blocks(
    options: Mapping[str, Any], request: Request, part: Inputs, memory: int
) -> Iterator[tuple[slice, Iterator[tuple[Point, np.ndarray]], np.ndarray | None]]:
    """Columns, path and leverages of each block; nothing refers to the part once they end."""
    every = np.arange(part.shape[1])
    positions = every if request.queries is None else every[request.queries]
    h, module, point = None, family(options), request.leverage_at
    if point is not None and hasattr(module, "leverages"):
        h = module.leverages(part, options, point["damping"])
    for columns in memory_blocks(len(positions), 8 * part.shape[0], memory):
        yield columns, _path(options, part.about(positions[columns]), request.points), h
        h = None


def write_scores(
    folder: Path, options: Mapping[str, Any], requests: Mapping[str, Request], transform: str
) -> None:
    """Write the transformed scores of each request at its one point, ``<kind>.npy`` [N, Q] float32.

    Scores of several parts are added up in memory, in float64.
    """
    totals: dict[tuple[str, int], np.ndarray] = {}
    with contextlib.ExitStack() as files:
        stored = {
            kind: files.enter_context(
                memmaps.create(folder / f"{kind}.npy", request.inputs.shape, np.float32)
            )
            for kind, request in requests.items()
        }
        for block in blocks(options, requests):
            ((_, scores),) = block.path
            key, total = (block.kind, block.columns.start), transforms.apply(scores, transform)
            if key in totals:
                total = totals.pop(key) + total
            if block.part < block.parts - 1:
                totals[key] = total
            else:
                stored[block.kind][:, block.columns] = total / block.parts
