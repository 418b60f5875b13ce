"""Kernels that keep the timesteps apart: one for each, or one that pools the gradients of all.

Vocabulary: *features by timestep* g [T, n, P], before the mean over t. *per_t* is one kernel
K_t = sum_i g_{i,t} g_{i,t}^T + lambda_t I for each t; lambda_t is relative to the largest
eigenvalue of that K_t. *pooled* is K = (1/T) sum_i sum_t g g^T + lambda I. There is one score tau_t
for each timestep:

    per_t    tau_t = g_{q,t}^T K_t^-1 g_{i,t} r_{i,t} / (1 - h_{i,t})    h_{i,t} = g^T K_t^-1 g
    pooled   tau_t = g_{q,t}^T K^-1 phi_i r_i / (1 - h_i)                h_i = mean_t g^T K^-1 g

with phi_i = mean_t g_{i,t}. A transform acts on each tau_t; then the mean over t is taken. So the
timesteps are the parts of a score (``dasbench.attribution.methods.interface``): one after the other
is decomposed, used for all queries and forgotten, and memory does not grow with T.

Source: DAS (Lin et al., 2025, arXiv 2410.18639), whose theory is per_t and whose code averages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dasbench.attribution.spectrum import Spectrum, times
from dasbench.core.blocks import blocks
from dasbench.core.mapped_pages import release

KERNELS = ("averaged", "pooled", "per_t")


class Spectra:
    """The kernels of features by timestep; the one that was used last is kept, no other.

    Args:
        train: [T, N, P] training features, any float type; may be a mapped file.
    """

    def __init__(self, train: np.ndarray):
        """Keep the features; nothing is computed."""
        self.train = train
        self._last: tuple[tuple[str, int], Spectrum] | None = None

    def steps(self, kernel: str) -> int:
        """Number of scores tau_t: T, or 1 with the averaged kernel.

        Raises:
            ValueError: If the kernel is unknown.
        """
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be {', '.join(KERNELS)}, got {kernel!r}")
        return 1 if kernel == "averaged" else len(self.train)

    def at(self, kernel: str, t: int) -> Spectrum:
        """The kernel of tau_t; its products with queries [Q, P] need those of ``features_at``.

        Args:
            kernel: "averaged", "pooled" or "per_t".
            t: Index of a timestep; "averaged" and "pooled" have one kernel for all.

        Raises:
            ValueError: If all features of the kernel are zero.
        """
        key = kernel, t if kernel == "per_t" else 0
        if self._last is None or self._last[0] != key:
            self._last = None  # the old kernel's memory is free before the next is decomposed
            release(self.train)
            pooled = kernel == "pooled"
            made = Pooled(self.train) if pooled else Spectrum(features_at(self.train, kernel, t))
            self._last = key, made
        return self._last[1]


def features_at(features: np.ndarray, kernel: str, t: int) -> np.ndarray:
    """Features of tau_t, [n, P], out of those by timestep [T, n, P]: their mean, or those of t."""
    return np.mean(features, axis=0, dtype=np.float64) if kernel == "averaged" else features[t]


class Pooled(Spectrum):
    """The kernel of all T N gradients, each taken as one example: T times the pooled K.

    Its training side is sum_t g_{i,t}, T times phi_i, so products with queries are those of K.

    Args:
        train: [T, N, P] training features, any float type; may be a mapped file.
    """

    def __init__(self, train: np.ndarray):
        """Decompose, and rotate the gradients one timestep at a time."""
        self._examples, self._leverages = train.shape[1], {}
        super().__init__(train.reshape(-1, train.shape[2]))

    def one_minus_leverage(self, damping: float | Sequence[float]) -> np.ndarray:
        """1 - h_i, [N], or [G, N] for a whole grid; never 0, and kept, since every tau_t has it.

        h_i is the trace of a block with T rows, not a hat value of one row. At small lambda it may
        exceed 1, and 1 - h_i then changes its sign. This follows from the formula; it is no bug.
        """
        key = np.shape(damping), *np.ravel(damping)
        if key not in self._leverages:
            left = 1 - sum(1 - self._one_minus_hat(side, damping) for side in self._sides())
            tiny = np.finfo(float).eps
            self._leverages[key] = np.where(np.abs(left) < tiny, tiny, left)
        return self._leverages[key]

    def _training_side(self) -> np.ndarray:
        return sum(self._sides())

    def _sides(self) -> Iterator[np.ndarray]:
        """The rotated gradients of each timestep, [N, r]."""
        for rows in blocks(len(self.train), self._examples):
            yield self._vectors[rows] if self.dual else times(self.train[rows], self._vectors)
