"""The cost of one job of each rule that computes scores with the network itself.

One family of jobs serves several methods: its work is their mean, its memory that of the largest.
Letters as in ``dasbench.planning.workload``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.attribution.methods.ensembles import searched
from dasbench.planning.job_cost import Cost
from dasbench.planning.workload import BATCH, Workload

BLOCK = 2**29  # bytes of the gradients and scores of one block of examples, of ``ekfac_stepwise``


def of(work: Workload) -> Iterator[Cost]:
    """Yield the cost of each family that some method needs."""
    by_family: dict[str, list[Cost]] = {}
    for options in work.methods.values():
        if "computed" in options:
            cost = _COSTS[options.get("computation", options["computed"])](work, options)
            by_family.setdefault(cost.family, []).append(cost)
    for family, costs in by_family.items():
        kinds = dict.fromkeys(kind for cost in costs for kind in cost.work)
        mean = {kind: sum(c.work.get(kind, 0.0) for c in costs) / len(costs) for kind in kinds}
        calls, memory = (max(getattr(c, name) for c in costs) for name in ("calls", "memory"))
        yield Cost(family, mean, calls, memory)


def _ekfac(work: Workload, options: Mapping[str, Any]) -> Cost:
    """Three passes over the examples, one over the queries; products at every damping."""
    p = work.model.parameters
    products = {"kernel": 2.0 * work.dampings * work.n * work.q * p}
    # two copies of the queries; gradients of blocks of 256 images, and their transforms
    memory = 8 * work.q * p + 10 * 256 * p
    return _cost(work, options, 3 * work.n + work.q, products, memory)


def _ekfac_stepwise(work: Workload, options: Mapping[str, Any]) -> Cost:
    """As ``_ekfac``, the queries for each block and probe; products at every timestep and probe."""
    p, probes = work.model.parameters, options.get("probes", 1)
    blocks = -(-work.n * (4 * p + 16 * work.dampings * work.q) // BLOCK)
    parts = work.experiment["features"]["timesteps"] * probes
    products = {"kernel": 2.0 * work.dampings * work.n * work.q * p * parts}
    # the block twice while it is joined, as the queries; gradients of a batch
    memory = 2 * BLOCK + 8 * work.q * p + 10 * 256 * p
    return _cost(work, options, 3 * work.n + blocks * probes * work.q, products, memory)


def _unlearning(work: Workload, options: Mapping[str, Any], passes: int = 1) -> Cost:
    """Gradients; then the losses of all examples for each query and step size."""
    times = options["loss_timesteps"] * (len(options["steps"]) * work.q + 1)
    losses = {"forward": 1.0 * work.model.flops * work.n * times}
    return _cost(work, options, passes * work.n + work.q, losses, 0)


def _unlearning_plus(work: Workload, options: Mapping[str, Any]) -> Cost:
    """As ``_unlearning``, with the two passes of EK-FAC's curvature."""
    cost = _unlearning(work, options, passes=2)
    return cost._replace(memory=cost.memory + 10 * 256 * work.model.parameters)


def _ensemble(work: Workload, options: Mapping[str, Any]) -> Cost:
    """The mean of the members' contributions, and predictions of tuning subsets."""
    numbers = len(searched(work.grid)) * work.n * work.q
    models = work.experiment["subsets"]["tune"]["models"] if options.get("tuning") else 0
    amounts = {"kernel": 2.0 * numbers * (models + 1)}
    return Cost("compute_ensemble", amounts, memory=24 * numbers)


def _cost(
    work: Workload,
    options: Mapping[str, Any],
    images: int,
    others: Mapping[str, float],
    memory: int,
) -> Cost:
    """The gradients of ``images`` images, other work, and memory besides images and network."""
    features = work.experiment["features"]
    draws = features["timesteps"] * options.get("draws", features["draws"])
    amounts = {"features:kronecker": 3.0 * work.model.flops * draws * images, **others}
    calls = draws * -(-images // BATCH["features"])
    held = 8 * work.n * work.d + 24 * work.model.parameters
    return Cost(f"compute_{options['computed']}", amounts, calls, held + memory)


_COSTS = {
    "ekfac": _ekfac,
    "ensemble": _ensemble,
    "ekfac_stepwise": _ekfac_stepwise,
    "unlearning": _unlearning,
    "unlearning_plus": _unlearning_plus,
}
