"""Values along the damping grid by which a user without retrained models can choose a damping.

``watch`` makes the predictions of a method (``dasbench.evaluation.predictions``), and the criteria
beside them, so that each kernel is decomposed once for all.

Letters: N training examples, Q asked queries of a kind, G dampings, T parts of a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dasbench.attribution.cross_validation import draw_error, query_gcv, residual_gcv
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.methods import interface
from dasbench.attribution.methods.interface import Block, Request
from dasbench.attribution.transforms import TRANSFORMS, apply
from dasbench.evaluation import statistics
from dasbench.evaluation.predictions import Predicted, predict

Scores = dict[tuple[str, int], np.ndarray]  # (kind, index of the damping) -> [transforms, N, Q]
Values = dict[str, np.ndarray]  # kind -> [G]
CROSS_VALIDATED = ("gcv_query", "gcv_residual", "cross_draw")


class Watched(NamedTuple):
    """What ``watch`` returns.

    Attributes:
        predicted: Kind -> predictions, of all queries of its request.
        scores: Transformed scores of the asked queries.
        criteria: Rule -> kind -> [G], means over the timesteps, and over the asked queries:
            ``gcv_query``, ``gcv_residual`` and ``cross_draw``, in the order of
            ``attribution.cross_validation``.
    """

    predicted: dict[str, Predicted]
    scores: Scores
    criteria: dict[str, Values]


def watch(
    options: Mapping[str, Any],
    requests: Mapping[str, Request],
    asked: Mapping[str, slice],
    masks: np.ndarray,
    residuals: np.ndarray,
    twins: Mapping[str, Inputs],
) -> Watched:
    """Predictions of a method, and criteria along the grid.

    Args:
        options: Of a method of the kernel family with one set of features, averaged or per_t.
        requests: Kind -> request, with positions of its queries.
        asked: Kind -> columns of its request that the criteria are about.
        masks: [M, N] bool, of all models whose outputs are predicted.
        residuals: [N], or [T, N] for a kernel at each timestep.
        twins: Kind -> inputs of the same method with another draw of noise and projection.
    """
    scores: Scores = {}
    criteria: dict[str, Values] = {rule: {} for rule in CROSS_VALIDATED}

    def validated() -> Iterator[Block]:
        for block in interface.blocks(options, requests):
            kind = block.kind
            if block.columns.start == 0:
                # the kernel of this part is decomposed and kept, so this costs little
                part = interface.parts(options, requests[kind].inputs)[block.part]()
                y = residuals[block.part] if residuals.ndim > 1 else residuals
                other = _features(twins[kind], block.part)
                values = _cross_validate(part, requests[kind], asked[kind], y, other)
                for rule, one in zip(CROSS_VALIDATED, values, strict=True):
                    criteria[rule][kind] = criteria[rule].get(kind, 0.0) + one / block.parts
            yield block

    return Watched(predict(_collected(validated(), asked, scores), masks), scores, criteria)


def _cross_validate(
    part: Inputs,
    request: Request,
    asked: slice,
    residuals: np.ndarray,
    other: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, ...]:
    """The criteria of one part, [G] each, means over the asked queries."""
    grid = [point["damping"] for point in request.points]
    positions = np.asarray(request.queries)[asked]
    queries, (train, others) = part.query_features[positions], other
    crossed = draw_error(part.spectrum, queries, train, others[positions], grid)
    by_query = query_gcv(part.spectrum, queries, grid)
    return by_query.mean(1), residual_gcv(part.spectrum, residuals, grid), crossed.mean(1)


def _features(inputs: Inputs, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of the training images and of all queries of one part; no kernel is decomposed."""
    if inputs.query_timesteps is None:
        return inputs.train_features, inputs.query_features
    return inputs.spectrum.train[part], inputs.query_timesteps[part]


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
