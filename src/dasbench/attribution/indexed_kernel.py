"""The kernel of one timestep of an index, whose features stay in their files.

Vocabulary: *kernel* K = Phi^T Phi + lambda I; lambda is relative to the largest eigenvalue of
Phi^T Phi. Scores are invariant if all features are multiplied by one number, so stored features may
have any scale, if queries have the same. Shapes: Phi [N, P], queries [Q, P], r = min(N, P).

Memory: the decomposition, and one block of Phi. ``dasbench.attribution.spectrum.Spectrum`` gives
the same numbers and holds N r numbers of float64 beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dasbench.attribution.decomposition import Decomposition, is_dual
from dasbench.attribution.spectrum import Spectrum
from dasbench.core.blocks import memory_blocks
from dasbench.core.hashed_chunks import Chunks


class Kernel:
    """A decomposed kernel at one damping.

    Args:
        train: [N, P] training features.
        decomposed: Their decomposition.
        damping: Relative to the largest eigenvalue.
    """

    def __init__(self, train: Chunks, decomposed: Decomposition, damping: float):
        """Keep the parts; features are read when they are needed."""
        self.train, self.decomposed, self.damping = train, decomposed, damping
        self.dual = is_dual(train.shape)
        self.shift = damping * float(decomposed.eigenvalues.max())

    def solve(self, queries: np.ndarray) -> np.ndarray:
        """K^-1 g_q, [P, Q] float64, of queries [Q, P]."""
        queries = np.asarray(queries, np.float64)
        if self.dual:
            # Woodbury: Phi^T (Phi Phi^T + lambda I)^-1 Phi g is the part of g that the images span
            spectrum = self._spectrum().of(queries)
            spanned = spectrum.train.T @ spectrum.inner(self.damping)
            return (queries.T - spanned) / self.shift
        values, vectors = self.decomposed
        return vectors @ ((queries @ vectors) / (values + self.shift)).T

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """1 - h_i in (0, 1] and ||K^-1 phi_i||, both [N] float64; h_i is the leverage."""
        if self.dual:
            spectrum = self._spectrum()
            return (
                spectrum.one_minus_leverage(self.damping),
                spectrum.preconditioned_norm(self.damping),
            )
        values, vectors = self.decomposed
        weights = 1 / (values + self.shift)
        left, lengths = np.empty((2, len(self.train)))
        for rows in memory_blocks(len(self.train), 8 * self.train.shape[1]):
            squares = np.square(np.asarray(self.train[rows], np.float64) @ vectors)
            left[rows] = np.maximum(1 - squares @ weights, np.finfo(float).eps)
            lengths[rows] = np.sqrt(squares @ weights**2)
        return left, lengths

    def products(self, features: Chunks, solved: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, phi_i^T K^-1 g_q [n, Q] float64), chunk by chunk.

        The products are float32 if N > P: there the stored features limit the precision. In the
        dual form they are float64, since K^-1 g_q has a large part that no training image sees.

        Args:
            features: [n, P], of the training images or of decoys.
            solved: [P, Q], from ``solve``.
        """
        import torch

        kind = torch.float64 if self.dual else torch.float32
        right = torch.from_numpy(solved).to(kind)
        for rows, chunk in features:
            left = torch.from_numpy(np.array(chunk)).to(kind)  # torch converts half the fastest
            yield rows, (left @ right).double().numpy()

    def _spectrum(self) -> Spectrum:
        """The dual kernel; its N <= P images fit in the memory of a kernel."""
        return Spectrum(self.train[:].astype(np.float64), decomposed=self.decomposed)
