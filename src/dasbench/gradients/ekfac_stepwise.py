"""Influence with EK-FAC's curvature on one timestep of a query after the other.

F is the matrix of ``dasbench.gradients.ekfac``, one for all timesteps. With g_{i,t} the loss
gradient of example i at timestep t, averaged over noise draws, and a_i = g_{i,t} (``stepwise``) or
mean_t g_{i,t}, a score is the root of

    loss          mean_t (g_{q,t}^T (F + lambda)^-1 a_i)^2
    displacement  mean_{t,v} ((v^T J_{q,t}) (F + lambda)^-1 a_i)^2

J_{q,t} is the derivative of the network's prediction, averaged over draws, and v one of ``probes``
arrays of random signs that each timestep has for itself. (F + lambda)^-1 a_i is, up to the factor
1 / N, the step of the weights when example i is left out. So ``displacement`` estimates how far
that step moves the query's prediction: the mean of a squared product with v is the squared length.

The square of a score is the published form: it is the score's own transform. The root is what can
be stored once for all transforms.
Shapes: n images, p parameters, G dampings, Q queries of all kinds side by side.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from dasbench.core.blocks import blocks as slices
from dasbench.core.blocks import rows_in
from dasbench.gradients import probes
from dasbench.gradients.ekfac import Ekfac
from dasbench.gradients.influence import Block, Problem
from dasbench.gradients.recorder import Matrices, Noise, noised

MEMORY = 2**29  # bytes of the gradients and scores of a block of training examples
EFFECTS = ("loss", "displacement")


def values(problem: Problem) -> np.ndarray:
    """The dampings, relative to the largest corrected eigenvalue of F."""
    return np.asarray(problem.dampings, np.float64)


def blocks(problem: Problem, memory: int = MEMORY) -> Iterator[Block]:
    """Yield the scores [G, n, q] of all dampings, float32, block by block of examples.

    The gradients of all queries at one timestep and of one block are in memory; those of the
    queries are computed again for each block.

    Args:
        problem: With dampings; settings also has effect and stepwise, and probes with displacement.
        memory: Bytes of a block's gradients and scores.

    Raises:
        ValueError: If the effect is unknown.
    """
    if problem.settings["effect"] not in EFFECTS:
        raise ValueError(
            f"effect must be {' or '.join(EFFECTS)}, got {problem.settings['effect']!r}"
        )
    curvature = Ekfac(problem.network, problem.process, problem.settings, problem.axes)
    curvature.fit(problem.images, problem.examples)
    counts = {kind: len(images) for kind, images in problem.queries.items()}
    scores_bytes = 16 * len(problem.dampings) * sum(counts.values())  # a sum, and a part
    row_bytes = 4 * curvature.recorder.size + scores_bytes
    for rows in slices(len(problem.images), rows_in(memory, row_bytes)):
        scores = np.sqrt(_mean_square(problem, curvature, rows)).astype(np.float32)
        start = 0
        for kind, count in counts.items():
            yield Block(kind, rows, slice(0, count), scores[:, :, start : start + count])
            start += count


def _mean_square(problem: Problem, curvature: Ekfac, rows: slice) -> np.ndarray:
    """Mean over timesteps and probes of the squared influence, [G, n, Q] float64."""
    images, ids = problem.images[rows], problem.examples[rows]
    stepwise = problem.settings["stepwise"]
    averaged = None if stepwise else curvature.features(images, ids, "train")
    count = sum(map(len, problem.queries.values()))
    total, parts = np.zeros((len(problem.dampings), len(images), count)), 0
    for k, t in enumerate(dict.fromkeys(t for t, _ in curvature.pairs)):
        at = _at(curvature, t)
        train = at.features(images, ids, "train") if stepwise else averaged
        for query in _effects(problem, at, k):
            influence = _influence(curvature, train, query, problem.dampings)
            total += np.square(influence, out=influence)
            parts += 1
    return total / parts


def _at(curvature: Ekfac, t: int) -> Ekfac:
    """The same curvature; its features are gradients at timestep t alone."""
    other = copy.copy(curvature)
    other.pairs = [pair for pair in curvature.pairs if pair[0] == t]
    return other


def _effects(problem: Problem, at: Ekfac, k: int) -> Iterator[Matrices]:
    """Yield g_{q,t}, or v^T J_{q,t} for each probe v, of all queries: layer's name -> [Q, d]."""
    if problem.settings["effect"] == "loss":
        yield _side_by_side(
            at.features(x, np.arange(len(x)), kind) for kind, x in problem.queries.items()
        )
        return
    for probe in range(problem.settings.get("probes", 1)):
        number = k * problem.settings.get("probes", 1) + probe
        yield _side_by_side(
            _products(at, x, kind, _signs(number, at.axes)) for kind, x in problem.queries.items()
        )


def _signs(number: int, axes: Sequence[str | int]) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """A function of a prediction [n, C, H, W] to the gradient v of its product with a probe."""

    def upstream(out: torch.Tensor) -> list[torch.Tensor]:
        v = probes.probe("rademacher", number, tuple(out.shape[1:]), tuple(axes))
        return [torch.from_numpy(v).to(out).expand_as(out)]

    return upstream


def _products(
    at: Ekfac,
    images: np.ndarray,
    kind: str,
    upstream: Callable[[torch.Tensor], list[torch.Tensor]],
) -> Matrices:
    """v^T J of each image in the eigenbasis, averaged over draws: layer's name -> [n, d]."""
    x = torch.from_numpy(images).to(at.where)
    noise = Noise(at.axes, kind, range(len(x)), x.shape[1:], policy=at.policy)
    parts = []
    for rows in slices(len(x), at.batch):
        total: Matrices = {}
        for _, _, x_t, t, _ in noised(at.process, x[rows], noise.of(rows), at.pairs):
            (gradients,) = at.recorder.gradients(x_t, t, upstream)
            total = {name: total.get(name, 0) + g for name, g in gradients.items()}
        parts.append(
            {
                name: (f.outputs.mT @ (total[name] @ f.inputs)).flatten(1) / len(at.pairs)
                for name, f in at.factors.items()
            }
        )
    return {name: torch.cat([part[name] for part in parts]) for name in at.factors}


def _side_by_side(kinds: Iterator[Matrices]) -> Matrices:
    """The matrices of all kinds of queries, joined."""
    every = list(kinds)
    return {name: torch.cat([one[name] for one in every]) for name in every[0]}


def _influence(
    curvature: Ekfac, train: Matrices, query: Mapping[str, torch.Tensor], dampings: Sequence[float]
) -> np.ndarray:
    """query^T (F + lambda)^-1 train for each damping, [G, n, Q] float64."""
    some, every = (next(iter(side.values())) for side in (train, query))
    scores = np.zeros((len(dampings), len(some), len(every)))
    for name, factors in curvature.factors.items():
        eigenvalues = factors.eigenvalues.flatten()
        for g, damping in enumerate(dampings):
            weighted = query[name] / (eigenvalues + damping * curvature.scale)
            scores[g] += (train[name] @ weighted.T).cpu().numpy()
    return scores
