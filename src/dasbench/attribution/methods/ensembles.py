"""The score of ``das_stepwise`` averaged over independently trained models.

    tau_i(q) = mean_s mean_t f(g_{q,t}^T K_{s,t}^-1 g_{i,t})

``dasbench.attribution.ensembles`` has the vocabulary. The options are ``group`` (the models: with
``full`` the base model and full-data models with other seeds, with ``tune`` the models of the
tuning subsets), ``models`` S, ``timesteps`` T of each, ``function`` f and ``order`` (where f acts).
The features are those of ``das_stepwise``: loss, the same noise for all images and models.

das_ensemble       the tuning half-models. They never saw an evaluation subset, so nothing leaks.
                   But their outputs judge dampings, too, so the choice of the rule
                   ``select_damping`` would be biased. The rule ``compute_ensemble`` chooses
                   instead: members of one half of the tuning subsets are judged on the other half,
                   and the reverse (``dasbench.evaluation.ensemble_ranking``). It writes the scores
                   at this one damping, the same for both kinds of query. The method has no
                   parameters left, is marked as made from tuning subsets (``tuning``), and shows no
                   tuning LDS.
das_ensemble_full  full-data models. None is a tuning model, so the damping is chosen as always,
                   from the part of the grid from ``LEAST`` on.

References: averages over models, TRAK, Park et al. (2023), arXiv 2303.14186; kernels by timestep,
as das_stepwise; Lin et al. (2025), arXiv 2410.18639.
Cost: S T passes of gradients over N + Q images and S T eigendecompositions of size min(N, P);
training of S models besides (``tune``, which an experiment with subset models has anyway) or of
S - 1 (``full``).
Direction: unsigned, "more influential"; signed with the functions identity and signed_square.
Does not apply: where only one model is at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.methods.interface import computed_path
from dasbench.attribution.parameters import NO_PARAMETERS, Point, product

needs = ("computed",)

# smaller dampings are never chosen for kernels by timestep, and each one costs memory of N Q
# numbers
LEAST = 1e-3


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [N, Q]) from the files of the rule compute_ensemble."""
    if not options.get("tuning"):
        yield from computed_path(inputs, points, "damping")
        return
    whole = inputs.computed.scores[0]
    scores = whole if inputs.positions is None else whole[:, inputs.positions]
    yield NO_PARAMETERS, np.asarray(scores, np.float64)


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The damping, unless compute_ensemble has chosen it."""
    if options.get("tuning"):
        return [NO_PARAMETERS]
    return product({"damping": searched(dampings)})


def searched(dampings: Sequence[float]) -> list[float]:
    """The dampings from ``LEAST`` on; of a grid without such dampings, the largest."""
    return [d for d in dampings if d >= LEAST] or [max(dampings)]
