"""Scores by a kernel that does not contain the scored image, for training images and decoys alike.

With K_t = sum_i g_{i,t} g_{i,t}^T + lambda_t I, the score of an image without it in the kernel is

    training image i   g_{q,t}^T (K_t - g_{i,t} g_{i,t}^T)^-1 g_{i,t}
                         = g_{q,t}^T K_t^-1 g_{i,t} / (1 - h_{i,t})
    decoy d            g_{q,t}^T K_t^-1 g_{d,t}

transformed, then averaged over t. lambda_t stays relative to the largest eigenvalue of the full
kernel: leaving an image out changes no unit.

Shapes: T timesteps, N training images, D decoys, Q queries, P features.

Source: Sherman and Morrison (1950); METHOD of DAS (arXiv 2410.18639) has the same denominator.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dasbench.attribution import transforms
from dasbench.attribution.spectrum import Spectrum


class Blind(NamedTuple):
    """Scores by kernels that are blind to the scored image.

    Attributes:
        training: [N, Q] leave-one-out scores of the training images.
        decoys: [D, Q] plain scores of the decoys.
    """

    training: np.ndarray
    decoys: np.ndarray


def blind_scores(
    train: np.ndarray,
    decoys: np.ndarray,
    queries: np.ndarray,
    damping: float,
    transform: str = "square",
) -> Blind:
    """Scores of training images and of decoys; memory is that of one timestep's kernel.

    Args:
        train: [T, N, P] features of the training images; may be a mapped file. An averaged kernel
            has T = 1.
        decoys: [T, D, P].
        queries: [T, Q, P].
        damping: Relative to the largest eigenvalue of each timestep's kernel.
        transform: One of ``dasbench.attribution.transforms.TRANSFORMS``.

    Returns:
        Float64 scores, means over t of the transformed ones.

    Raises:
        ValueError: If the features of a timestep are all zero, or shapes disagree.
    """
    size = queries.shape[1]
    training, plain = np.zeros((train.shape[1], size)), np.zeros((decoys.shape[1], size))
    for g, g_d, g_q in zip(train, decoys, queries, strict=True):
        spectrum = Spectrum(g, g_q)
        training += transforms.apply(leave_one_out(spectrum, damping), transform)
        plain += transforms.apply(outside(spectrum, g_d, g_q, damping), transform)
    return Blind(training / len(train), plain / len(train))


def leave_one_out(spectrum: Spectrum, damping: float) -> np.ndarray:
    """g_q^T K_{-i}^-1 g_i, [N, Q], of the training images and queries of a decomposed kernel."""
    return spectrum.inner(damping) / spectrum.one_minus_leverage(damping)[:, None]


def outside(
    spectrum: Spectrum, decoys: np.ndarray, queries: np.ndarray, damping: float
) -> np.ndarray:
    """g_q^T K^-1 g_d, [D, Q], of images that are not in the kernel.

    Args:
        spectrum: The decomposed kernel, with the queries.
        decoys: [D, P].
        queries: [Q, P], the same queries.
        damping: Relative to ``spectrum.scale``.

    Raises:
        ValueError: If P differs, or the damping is not positive.
    """
    if not damping > 0:
        raise ValueError(f"damping must be positive, got {damping}; choose it from the grid")
    lam = damping * spectrum.scale
    within = (spectrum.of(decoys).right / (spectrum.eigenvalues + lam)) @ spectrum.right.T
    if not spectrum.dual:
        return within
    # K^-1 = (I - Phi^T (Phi Phi^T + lambda)^-1 Phi) / lambda: what lies outside the span of the
    # training features meets lambda alone
    return (np.asarray(decoys, np.float64) @ np.asarray(queries, np.float64).T - within) / lam
