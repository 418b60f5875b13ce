"""Scores by a kernel that does not contain the scored image, for training images and decoys alike.

With K_t = sum_i g_{i,t} g_{i,t}^T + lambda_t I, the score of an image without it in the kernel is

    training image i   g_{q,t}^T (K_t - g_{i,t} g_{i,t}^T)^-1 g_{i,t}
                         = g_{q,t}^T K_t^-1 g_{i,t} / (1 - h_{i,t})
    decoy d            g_{q,t}^T K_t^-1 g_{d,t}

transformed, then averaged over t. lambda_t stays relative to the largest eigenvalue of the full
kernel: leaving an image out changes no unit.

A *match* is the squared cosine of the two gradients under the same kernel, averaged over t:

    (g_q^T K^-1 g_i)^2 / (g_i^T K^-1 g_i  g_q^T K^-1 g_q)    with the K_t that lacks image i

It lies between 0 and 1 whatever the query, and is near 1 for a copy of the query. It does not
depend on the length of a gradient, which is shorter for images that the model was trained on.

Shapes: T timesteps, N training images, D decoys, Q queries, P features.

Source: Sherman and Morrison (1950); DAS (arXiv 2410.18639) has the same denominator.
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
        decoys: [D, Q] scores of the decoys.
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
    total = _zeros(train, decoys, queries)
    for g, g_d, g_q in zip(train, decoys, queries, strict=True):
        spectrum = Spectrum(g, g_q)
        scores = leave_one_out(spectrum, damping), outside(spectrum, g_d, g_q, damping)
        for mean, each in zip(total, scores, strict=True):
            mean += transforms.apply(each, transform) / len(train)
    return total


def matches(train: np.ndarray, decoys: np.ndarray, queries: np.ndarray, damping: float) -> Blind:
    """Matches of training images and of decoys with the queries, in [0, 1].

    Args:
        train: See ``blind_scores``.
        decoys: See ``blind_scores``.
        queries: See ``blind_scores``.
        damping: See ``blind_scores``.

    Returns:
        Float64 matches; 0 at a timestep at which either gradient is 0.

    Raises:
        ValueError: If the features of a timestep are all zero, or shapes disagree.
    """
    total = _zeros(train, decoys, queries)
    for g, g_d, g_q in zip(train, decoys, queries, strict=True):
        spectrum = Spectrum(g, g_q)
        s_q, s_d = (squared_lengths(spectrum, rows, damping) for rows in (g_q, g_d))
        leverage = 1 - spectrum.one_minus_leverage(damping)
        total.training[:] += match_training(spectrum.inner(damping), leverage, s_q) / len(train)
        plain = outside(spectrum, g_d, g_q, damping)
        total.decoys[:] += match_decoys(plain, s_d, s_q) / len(train)
    return total


def match_training(inner: np.ndarray, leverage: np.ndarray, s_q: np.ndarray) -> np.ndarray:
    """Squared cosines of training images at one timestep, without each image in the kernel.

    ``(g_q^T K^-1 g_i)^2 / (h_i ((1 - h_i) s_q + (g_q^T K^-1 g_i)^2))``, by Sherman-Morrison.

    Args:
        inner: [N, Q], g_q^T K^-1 g_i of the full kernel.
        leverage: [N], h_i = g_i^T K^-1 g_i in [0, 1).
        s_q: [Q], g_q^T K^-1 g_q.

    Returns:
        [N, Q]; 0 where a gradient is 0.
    """
    square, h = inner**2, leverage[:, None]
    return _ratio(square, h * ((1 - h) * s_q + square))


def match_decoys(inner: np.ndarray, s_d: np.ndarray, s_q: np.ndarray) -> np.ndarray:
    """Squared cosines of decoys at one timestep, ``(g_q^T K^-1 g_d)^2 / (s_d s_q)``.

    Args:
        inner: [D, Q], g_q^T K^-1 g_d.
        s_d: [D], g_d^T K^-1 g_d.
        s_q: [Q], g_q^T K^-1 g_q.

    Returns:
        [D, Q]; 0 where a gradient is 0.
    """
    return _ratio(inner**2, s_d[:, None] * s_q)


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
    shifted, lam = _shifted(spectrum, damping)
    within = (spectrum.of(decoys).right / shifted) @ spectrum.right.T
    if not spectrum.dual:
        return within
    # K^-1 = (I - Phi^T (Phi Phi^T + lambda)^-1 Phi) / lambda: what lies outside the span of the
    # training features meets lambda alone
    return (np.asarray(decoys, np.float64) @ np.asarray(queries, np.float64).T - within) / lam


def squared_lengths(spectrum: Spectrum, features: np.ndarray, damping: float) -> np.ndarray:
    """g^T K^-1 g, [n], of images [n, P] that are not in the kernel; see ``outside``."""
    shifted, lam = _shifted(spectrum, damping)
    within = (spectrum.of(features).right ** 2 / shifted).sum(axis=1)
    if not spectrum.dual:
        return within
    return (np.square(features, dtype=np.float64).sum(axis=1) - within) / lam


def _shifted(spectrum: Spectrum, damping: float) -> tuple[np.ndarray, float]:
    """Eigenvalues of the regularised kernel [r], and lambda."""
    if not damping > 0:
        raise ValueError(f"damping must be positive, got {damping}; choose it from the grid")
    lam = damping * spectrum.scale
    return spectrum.eigenvalues + lam, lam


def _zeros(train: np.ndarray, decoys: np.ndarray, queries: np.ndarray) -> Blind:
    return Blind(*(np.zeros((rows.shape[1], queries.shape[1])) for rows in (train, decoys)))


def _ratio(square: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Divide elementwise; 0 where a length is 0."""
    return np.divide(square, lengths, out=np.zeros_like(square), where=lengths > 0)
