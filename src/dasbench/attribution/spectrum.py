"""The regularised kernel of gradient features, for every damping from one eigendecomposition.

Vocabulary: *kernel* K = Phi^T Phi + lambda I with Phi the training features; *damping* lambda,
always relative to the largest eigenvalue of Phi^T Phi; *leverage* h_i = phi_i^T K^-1 phi_i; *dual*
the N x N form (N <= P); *primal* the P x P form. Both forms give the same numbers; the smaller is
used. Shapes: Phi [N, P], query features [Q, P], scores [N, Q], G dampings, r = min(N, P). All
arrays are float64: float32 inverses of a rank-deficient kernel are wrong at small damping.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np

from dasbench.attribution.decomposition import Decomposition, decompose, is_dual
from dasbench.core.blocks import memory_blocks


class Spectrum:
    """A decomposed training kernel, and products with its regularised inverse.

    Args:
        train: [N, P] training features; may be a mapped file.
        query: [Q, P] query features; None if no product with queries is needed.
        decomposed: Decomposition of ``train``; None: decompose it here.

    Attributes:
        scale: Largest eigenvalue of Phi^T Phi: the unit of the damping.
        eigenvalues: [r].
        left: [N, r] training side; row i belongs to example i in either form.
        right: [Q, r] query side.

    Raises:
        ValueError: If the features are all zero, or P differs.

    Source: kernel ridge duality; the dual hat diagonal
    1 - h = lambda diag((Phi Phi^T + lambda I)^-1) does not cancel when h is near 1.
    """

    def __init__(
        self,
        train: np.ndarray,
        query: np.ndarray | None = None,
        decomposed: Decomposition | None = None,
    ):
        """Decompose if needed, and rotate the training features if primal."""
        self.train, self.right = train, None
        if query is not None:
            self._fits(query)  # before the costly decomposition
        self.eigenvalues, self._vectors = decomposed or decompose(train)
        self.dual = is_dual(train.shape)
        self.scale = float(self.eigenvalues.max())
        # scores = left diag(1 / (eigenvalues + lambda)) right^T in either form
        self.left = self._training_side()
        if query is not None:
            self.right = self._rotated(query)

    def of(self, query: np.ndarray) -> Spectrum:
        """The same kernel with other queries [Q, P]; the decomposition is reused."""
        self._fits(query)
        other = copy.copy(self)
        other.right = self._rotated(query)
        return other

    def inner(self, damping: float) -> np.ndarray:
        """phi_i^T K^-1 phi_q for all pairs, [N, Q]; ``damping`` relative to ``scale``."""
        return self.left @ (self.right / self._shifted(damping)).T

    def one_minus_leverage(self, damping: float | Sequence[float]) -> np.ndarray:
        """1 - h_i in (0, 1]: [N], or [G, N] for a whole grid in one pass over the examples."""
        return self._one_minus_hat(self.left, damping)

    def preconditioned_norm(self, damping: float | Sequence[float]) -> np.ndarray:
        """||K^-1 phi_i||: [N], or [G, N] for a whole grid in one pass over the examples."""
        shifted = self._shifted(damping)
        weights = (self.eigenvalues if self.dual else 1.0) / shifted**2
        return np.sqrt(_squares(self.left, weights))

    def _training_side(self) -> np.ndarray:
        """``left``."""
        return self._vectors if self.dual else times(self.train, self._vectors)

    def _one_minus_hat(self, left: np.ndarray, damping: float | Sequence[float]) -> np.ndarray:
        """1 - h of the gradients whose training side is ``left`` [n, r]: [n] or [G, n]."""
        squares = _squares(left, 1 / self._shifted(damping))
        if self.dual:
            return self._lambda(damping)[..., None] * squares
        return np.maximum(1 - squares, np.finfo(float).eps)

    def _rotated(self, query: np.ndarray) -> np.ndarray:
        """Query side [Q, r]: phi_q^T V in the primal form, phi_q^T Phi^T V in the dual one."""
        query = np.asarray(query, np.float64)
        return (times(self.train, query.T).T if self.dual else query) @ self._vectors

    def _fits(self, query: np.ndarray) -> None:
        if self.train.shape[1] != query.shape[1]:
            raise ValueError(
                f"training features have {self.train.shape[1]} dimensions, queries {query.shape[1]}"
            )

    def _shifted(self, damping: float | Sequence[float]) -> np.ndarray:
        """Eigenvalues of K, [r] or [G, r]."""
        return self.eigenvalues + self._lambda(damping)[..., None]

    def _lambda(self, damping: float | Sequence[float]) -> np.ndarray:
        relative = np.asarray(damping, np.float64)
        if not (relative > 0).all():
            raise ValueError(
                f"damping must be positive, got {damping}; choose it from the damping grid"
            )
        return relative * self.scale


def _squares(left: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted squared lengths [n] or [G, n] of the rows of ``left``; weights [r] or [G, r]."""
    lengths = np.empty((*weights.shape[:-1], len(left)))
    for rows in memory_blocks(len(left), left[:1].nbytes):
        lengths[..., rows] = weights @ np.square(left[rows]).T
    return lengths


def times(train: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Phi @ right in float64, [N, k], a block of examples at a time."""
    product = np.empty((len(train), right.shape[1]))
    for rows in memory_blocks(len(train), 8 * train.shape[1]):
        np.matmul(np.asarray(train[rows], np.float64), right, out=product[rows])
    return product


def damping_grid(settings: Mapping[str, Sequence[int]]) -> np.ndarray:
    """Relative dampings m * 10^k, ascending.

    Args:
        settings: mantissas (within 1 to 9.99) and exponents [first, last], both included.

    Returns:
        [len(mantissas) * number of exponents] float64.
    """
    first, last = settings["exponents"]
    return np.array(
        sorted(float(f"{m}e{k}") for k in range(first, last + 1) for m in settings["mantissas"])
    )
