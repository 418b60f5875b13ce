"""Values along the damping grid by which a user without retrained models can choose a damping.

``watch`` makes the predictions of a method (``dasbench.evaluation.predictions``), and the criteria
beside them, so that each kernel is decomposed once for all.

Letters: N training examples, Q asked queries of a kind, G dampings, T parts of a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dasbench.attribution.cross_validation import query_gcv, residual_gcv
from dasbench.attribution.methods import interface
from dasbench.attribution.methods.interface import Block, Request
from dasbench.attribution.transforms import TRANSFORMS, apply
from dasbench.evaluation import statistics
from dasbench.evaluation.predictions import Predicted, predict

Scores = dict[tuple[str, int], np.ndarray]  # (kind, index of the damping) -> [transforms, N, Q]
Values = dict[str, np.ndarray]  # kind -> [G]


class Watched(NamedTuple):
    """What ``watch`` returns.

    Attributes:
        predicted: Kind -> predictions, of all queries of its request.
        scores: Transformed scores of the asked queries.
        by_query: Kind -> ``query_gcv``, the mean over timesteps and asked queries.
        by_residual: Kind -> ``residual_gcv``, the mean over timesteps.
    """

    predicted: dict[str, Predicted]
    scores: Scores
    by_query: Values
    by_residual: Values


def watch(
    options: Mapping[str, Any],
    requests: Mapping[str, Request],
    asked: Mapping[str, slice],
    masks: np.ndarray,
    residuals: np.ndarray,
) -> Watched:
    """Predictions of a method, and criteria along the grid.

    Args:
        options: Of a method of the kernel family with one set of features, averaged or per_t.
        requests: Kind -> request, with positions of its queries.
        asked: Kind -> columns of its request that the criteria are about.
        masks: [M, N] bool, of all models whose outputs are predicted.
        residuals: [N], or [T, N] for a kernel at each timestep.
    """
    scores: Scores = {}
    values: tuple[Values, Values] = {}, {}
    blocks = interface.blocks(options, requests)
    blocks = _cross_validated(blocks, options, requests, asked, residuals, *values)
    return Watched(predict(_collected(blocks, asked, scores), masks), scores, *values)


def scores_of(options: Mapping[str, Any], requests: Mapping[str, Request]) -> Scores:
    """Transformed scores of all queries of some requests, as in ``Watched``."""
    scores: Scores = {}
    every = {kind: slice(0, len(request.queries)) for kind, request in requests.items()}
    for block in _collected(interface.blocks(options, requests), every, scores):
        for _ in block.path:  # read, so that it is collected
            pass
    return scores


def _collected(
    blocks: Iterable[Block], asked: Mapping[str, slice], into: Scores
) -> Iterator[Block]:
    """Pass blocks on, and add up their transformed scores while they are read."""
    for block in blocks:
        yield block._replace(path=_kept(block, asked[block.kind], into))


def _kept(block: Block, asked: slice, into: Scores) -> Iterator:
    """The path of a block; each score is added to the mean over the parts."""
    first = max(block.columns.start, asked.start)
    own = slice(first - block.columns.start, max(asked.stop - block.columns.start, 0))
    for g, (point, scores) in enumerate(block.path):
        some = scores[:, own]
        shape = len(TRANSFORMS), len(scores), asked.stop - asked.start
        total = into.setdefault((block.kind, g), np.zeros(shape))
        columns = slice(first - asked.start, first - asked.start + some.shape[1])
        for sums, name in zip(total, TRANSFORMS, strict=True):
            sums[:, columns] += apply(some, name) / block.parts
        yield point, scores


def agreement(a: Scores, b: Scores, kind: str) -> dict[str, np.ndarray]:
    """How far two draws of noise rank the training images alike, at each damping.

    Args:
        a: Scores of a method.
        b: Those of the same method with another draw of noise and projection.
        kind: Kind of queries.

    Returns:
        Transform -> [G], the mean over queries of Spearman's correlation over training images; an
        undefined one enters as 0.
    """
    grid = sorted(g for one, g in a if one == kind)
    return {
        name: np.array(
            [np.nan_to_num(statistics.spearman(a[kind, g][i], b[kind, g][i])).mean() for g in grid]
        )
        for i, name in enumerate(TRANSFORMS)
    }


def _cross_validated(
    blocks: Iterable[Block],
    options: Mapping[str, Any],
    requests: Mapping[str, Request],
    asked: Mapping[str, slice],
    residuals: np.ndarray,
    by_query: Values,
    by_residual: Values,
) -> Iterator[Block]:
    """Pass blocks on, and add up the two criteria of ``attribution.cross_validation``."""
    for block in blocks:
        if block.columns.start == 0:
            request = requests[block.kind]
            # the kernel of this part is decomposed and kept, so this costs little
            part = interface.parts(options, request.inputs)[block.part]()
            grid = [point["damping"] for point in request.points]
            queries = part.query_features[np.asarray(request.queries)[asked[block.kind]]]
            y = residuals[block.part] if residuals.ndim > 1 else residuals
            values = query_gcv(part.spectrum, queries, grid).mean(1)
            for into, one in (
                (by_query, values),
                (by_residual, residual_gcv(part.spectrum, y, grid)),
            ):
                into[block.kind] = into.get(block.kind, 0.0) + one / block.parts
        yield block
