"""Scores averaged over independently trained models.

Vocabulary. A *member* is a trained model s. It has gradients of its own at each timestep t, a
kernel K_{s,t} of them, and the score of ``das_stepwise`` without its square,

    tau_{s,t}(q, i) = g_{q,t}^T K_{s,t}^-1 g_{i,t},

with the damping relative to the largest eigenvalue of each K_{s,t}. A *function* f makes an
influence of it, such as its square. An *order* says where f acts:

    each     mean_s mean_t f(tau_{s,t})     on every timestep of every member, as in das_stepwise
    member   mean_s f(mean_t tau_{s,t})     on every member
    whole    f(mean_s mean_t tau_{s,t})     on the mean of all

A *contribution* of a member is that of which the mean over s is taken.

Shapes: N training examples, Q queries, P feature dimensions, G dampings.
Source: averages over models as in TRAK, Park et al. (2023), arXiv 2303.14186, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from dasbench.attribution.spectrum import Spectrum

Features = Iterable[tuple[int, Mapping[str, np.ndarray]]]

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda tau: tau,
    "abs_1": np.abs,
    "abs_1.5": lambda tau: np.abs(tau) * np.sqrt(np.abs(tau)),
    "square": np.square,
    "abs_2.5": lambda tau: np.square(tau) * np.sqrt(np.abs(tau)),
    "abs_3": lambda tau: np.square(tau) * np.abs(tau),
    "signed_square": lambda tau: tau * np.abs(tau),
    "positive_square": lambda tau: np.square(np.maximum(tau, 0.0)),
}
ORDERS = ("each", "member", "whole")


def taus(
    features: Features, dampings: Sequence[float]
) -> Iterator[tuple[int, str, Iterator[np.ndarray]]]:
    """Yield the scores of one member, one timestep after the other.

    A timestep's kernel is decomposed once for all kinds of queries, and then forgotten.

    Args:
        features: (t, {"train": [N, P], kind of query: [Q, P]}) of each timestep.
        dampings: Relative to the largest eigenvalue of the timestep's kernel.

    Yields:
        t, kind, and an iterator of tau [N, Q] float64 in the order of the dampings; read it before
        the next item.

    Raises:
        ValueError: If all training features of a timestep are zero.
    """
    for t, by_split in features:
        kernel = Spectrum(by_split["train"])
        for kind, queries in by_split.items():
            if kind != "train":
                rotated = kernel.of(queries)
                yield t, kind, (rotated.inner(damping) for damping in dampings)


def contributions(
    features: Features, dampings: Sequence[float], function: str, order: str
) -> dict[str, np.ndarray]:
    """The contribution of one member at every damping.

    Args:
        features: As for ``taus``.
        dampings: G relative dampings.
        function: A name in ``FUNCTIONS``.
        order: One of ``ORDERS``.

    Returns:
        Kind of query -> [G, N, Q] float64.
    """
    inside = FUNCTIONS[function if order == "each" else "identity"]
    totals: dict[str, np.ndarray] = {}
    steps: set[int] = set()
    for t, kind, path in taus(features, dampings):
        steps.add(t)
        for g, tau in enumerate(path):
            if kind not in totals:
                totals[kind] = np.zeros((len(dampings), *tau.shape))
            totals[kind][g] += inside(tau)
    outside = FUNCTIONS[function if order == "member" else "identity"]
    return {kind: outside(total / len(steps)) for kind, total in totals.items()}


def finished(mean: np.ndarray, function: str, order: str) -> np.ndarray:
    """The scores from the mean of the members' contributions, any shape."""
    return FUNCTIONS[function](mean) if order == "whole" else mean


def distinct(functions: Collection[str], orders: Collection[str], members: int) -> list[tuple]:
    """Pairs (order, function) whose scores differ, in the order of ``ORDERS``.

    The identity gives the same in every order, and one member has no mean over members.
    """
    orders = [order for order in ORDERS if order in orders]
    if members == 1 and "member" in orders and "whole" in orders:
        orders.remove("whole")
    return [
        (order, function)
        for order in orders
        for function in functions
        if function != "identity" or order == orders[0]
    ]
