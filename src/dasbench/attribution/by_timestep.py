"""Kernels that keep the timesteps apart: one for each, or one that pools the gradients of all.

Vocabulary: *features by timestep* g [T, n, P], before the mean over t. *per_t* is one kernel
K_t = sum_i g_{i,t} g_{i,t}^T + lambda_t I for each t; lambda_t is relative to the largest
eigenvalue of that K_t. *pooled* is K = (1/T) sum_i sum_t g g^T + lambda I. There is one score tau_t
for each timestep:

    per_t    tau_t = g_{q,t}^T K_t^-1 g_{i,t} r_{i,t} / (1 - h_{i,t})    h_{i,t} = g^T K_t^-1 g
    pooled   tau_t = g_{q,t}^T K^-1 phi_i r_i / (1 - h_i)                h_i = mean_t g^T K^-1 g

with phi_i = mean_t g_{i,t}. A transform acts on each tau_t; then the mean over t is taken. The
pooled h_i is the trace of a block with T rows, not a hat value of one row. At small lambda it may
exceed 1, and 1 - h_i then changes its sign. This follows from the formula; it is not a bug.

Source: DAS (Lin et al., 2025, arXiv 2410.18639), whose theory is per_t and whose code averages.
"""

from __future__ import annotations

import functools

import numpy as np

from dasbench.attribution.spectrum import Spectrum

KERNELS = ("averaged", "pooled", "per_t")


class Spectra:
    """Decomposed kernels of features by timestep; each is decomposed at its first use.

    Args:
        train: [T, N, P] training features, any float type; may be a mapped file.

    Raises:
        ValueError: If all features of a kernel are zero; raised at its first use.
    """

    def __init__(self, train: np.ndarray):
        """Keep the features; nothing is computed."""
        self.train = train

    @functools.cached_property
    def each(self) -> list[Spectrum]:
        """The kernel of each timestep."""
        return [Spectrum(features) for features in self.train]

    @functools.cached_property
    def pooled(self) -> Spectrum:
        """The kernel of all T N gradients, each taken as one example: T times the pooled K."""
        return Spectrum(self.train.reshape(-1, self.train.shape[2]))

    def of(self, kernel: str, query: np.ndarray) -> list[Spectrum]:
        """One ``Spectrum`` for each timestep, with the queries of that timestep.

        Its ``inner(damping)``, [N, Q], is g_{q,t}^T K^-1 times g_{i,t} (per_t) or phi_i (pooled).

        Args:
            kernel: "pooled" or "per_t".
            query: [T, Q, P].

        Raises:
            ValueError: If the kernel is unknown.
        """
        if kernel == "per_t":
            return [one.of(rows) for one, rows in zip(self.each, query, strict=True)]
        if kernel != "pooled":
            raise ValueError(f"kernel must be {' or '.join(KERNELS[1:])} here, got {kernel!r}")
        # the kernel of all T N rows is T K, its inverse K^-1 / T: so a sum replaces the mean over t
        rows = self.pooled.left.reshape(*self.train.shape[:2], -1).sum(0)  # [N, r]
        return [self.pooled.of(features).seen_from(rows) for features in query]

    def one_minus_leverage(self, kernel: str, damping: float) -> np.ndarray:
        """1 - h: [T, N] for per_t; [N] for pooled, where it may be negative but is never 0."""
        if kernel == "per_t":
            return np.stack([one.one_minus_leverage(damping) for one in self.each])
        shape = self.train.shape[:2]
        left = 1 - (1 - self.pooled.one_minus_leverage(damping)).reshape(shape).sum(0)
        tiny = np.finfo(float).eps
        return np.where(np.abs(left) < tiny, tiny, left)
