"""The regularised kernel of gradient features, for every damping from one eigendecomposition.

Vocabulary: *kernel* K = Phi^T Phi + lambda I with Phi the training features; *damping* lambda,
given relative to the largest eigenvalue of Phi^T Phi; *leverage* h_i = phi_i^T K^-1 phi_i; *dual*
the N x N form (N <= P), *primal* the P x P form. Both give the same numbers; the smaller is used.
Shapes: Phi [N, P], query features [Q, P], scores [N, Q]. Everything is float64: float32 inverses of
a rank-deficient kernel are wrong at small damping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.linalg


class Spectrum:
    """Eigendecomposition of a training kernel, and products with its regularised inverse.

    Args:
        train: [N, P] training features.
        query: [Q, P] query features.

    Attributes:
        scale: Largest eigenvalue of Phi^T Phi: the unit of the damping.

    Raises:
        ValueError: If the features are all zero, or P differs.

    Source: kernel ridge duality; the dual hat diagonal
    1 - h = lambda diag((Phi Phi^T + lambda I)^-1) does not cancel when h is near 1.
    """

    def __init__(self, train: np.ndarray, query: np.ndarray):
        """Decompose the smaller of the two Gram matrices."""
        if train.shape[1] != query.shape[1]:
            raise ValueError(
                f"training features have {train.shape[1]} dimensions, queries {query.shape[1]}"
            )
        train, query = np.asarray(train, np.float64), np.asarray(query, np.float64)
        self.dual = train.shape[0] <= train.shape[1]
        gram = train @ train.T if self.dual else train.T @ train
        _, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False)
        # as squared lengths, the smallest eigenvalues are right where eigh's are rounding errors of
        # the largest: an image that is in the training set twice makes a kernel with zeros
        rotated = (train.T if self.dual else train) @ vectors
        self.eigenvalues = np.square(rotated).sum(0)
        self.scale = float(self.eigenvalues.max())
        if not self.scale > 0:
            raise ValueError(
                "all training features are zero; a kernel method needs gradients that vary"
            )
        # scores = left diag(1 / (eigenvalues + lambda)) right^T in either form
        if self.dual:
            self.left, self.right = vectors, query @ rotated
        else:
            self.left, self.right = rotated, query @ vectors

    def inner(self, damping: float) -> np.ndarray:
        """phi_i^T K^-1 phi_q for all pairs, [N, Q]; ``damping`` relative to ``scale``."""
        return (self.left / (self.eigenvalues + self._lambda(damping))) @ self.right.T

    def one_minus_leverage(self, damping: float) -> np.ndarray:
        """1 - h_i, [N], in (0, 1]."""
        shifted = self.eigenvalues + self._lambda(damping)
        if self.dual:
            return self._lambda(damping) * (self.left**2 @ (1 / shifted))
        return np.maximum(1 - self.left**2 @ (1 / shifted), np.finfo(float).eps)

    def preconditioned_norm(self, damping: float) -> np.ndarray:
        """||K^-1 phi_i||, [N]."""
        shifted = self.eigenvalues + self._lambda(damping)
        weights = (self.eigenvalues if self.dual else 1.0) / shifted**2
        return np.sqrt(self.left**2 @ np.broadcast_to(weights, shifted.shape))

    def _lambda(self, damping: float) -> float:
        if not damping > 0:
            raise ValueError(
                f"damping must be positive, got {damping}; choose it from the damping grid"
            )
        return damping * self.scale


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
