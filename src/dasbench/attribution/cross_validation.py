"""Cross-validation of the damping of a kernel: three criteria without retraining.

All treat a product with the inverse kernel as a ridge regression with penalty lambda, and estimate
the error of its predictions of something that it was not fitted to. Two are generalised
cross-validation (GCV). With residuals e = (I - H) y of n observations and H the hat matrix of the
regression,

    GCV(lambda) = (1/n) |(I - H) y|^2 / ((1/n) tr(I - H))^2.

It replaces the leverages H_jj in the exact leave-one-out error (1/n) sum_j (e_j / (1 - H_jj))^2 by
their mean, so rotations of the observations do not change it. A smaller value is better. What
is regressed on what differs:

query      The query's feature on the training features. The P coordinates are the observations,
           the training images the predictors:

               min over s of |phi_q - Phi^T s|^2 + lambda |s|^2

           has the solution s = Phi (Phi^T Phi + lambda I)^-1 phi_q, the scores themselves (without
           residual and leverage), and H = Phi^T (Phi Phi^T + lambda I)^-1 Phi. So the criterion
           asks with which damping a combination of training images predicts coordinates of the
           query's gradient that it was not fitted to. Coordinates of a random projection have no
           order, as GCV assumes. Each query counts alike: its value is divided by (1/P) |phi_q|^2,
           that of a regression on nothing.
residual   The training images' residuals on their features, as in the linear model whose Newton
           step a score is. The N training images are the observations:

               min over d of |y - Phi d|^2 + lambda |d|^2,  H = Phi (Phi^T Phi + lambda I)^-1 Phi^T.

           Divided by (1/N) |y|^2.

Both follow from the eigendecomposition of the kernel, for all dampings at once. With r eigenvalues
e_k, c_k the coordinates of y along the matching singular vectors, s_k = lambda / (e_k + lambda):
|(I - H) y|^2 = |y|^2 - sum_k c_k^2 + sum_k s_k^2 c_k^2 and tr(I - H) = n - r + sum_k s_k.

The third needs features with two draws of noise and projection:

draw       The coefficients s of the first draw, as for ``query``, are tried on the second, phi':

               |phi'_q - Phi'^T s|^2 / |phi'_q|^2.

           What s owes to the noise of the first draw is an error in the second.

Shapes: N training examples, Q queries, P features, r = min(N, P), G dampings.

Source: Golub, Heath and Wahba (1979), Generalized cross-validation as a method for choosing a good
ridge parameter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dasbench.attribution.spectrum import Spectrum
from dasbench.core.blocks import memory_blocks


def query_gcv(spectrum: Spectrum, queries: np.ndarray, dampings: Sequence[float]) -> np.ndarray:
    """GCV of the regressions of the queries' features on the training features.

    Args:
        spectrum: Kernel of the training features [N, P], decomposed.
        queries: [Q, P], none all zero.
        dampings: [G], relative to the largest eigenvalue.

    Returns:
        [G, Q] float64, 1 for a regression that explains nothing.

    Raises:
        ValueError: If a query's feature is all zero.
    """
    right = spectrum.of(queries).right  # [Q, r]; in the dual form times the singular values
    inside = np.square(right / _singular(spectrum) if spectrum.dual else right)
    total = np.square(np.asarray(queries, np.float64)).sum(1)
    return _gcv(spectrum, inside, total, spectrum.train.shape[1], dampings)


def residual_gcv(
    spectrum: Spectrum, residuals: np.ndarray, dampings: Sequence[float]
) -> np.ndarray:
    """GCV of the regression of the training residuals on the training features.

    Args:
        spectrum: Kernel of the training features [N, P], decomposed.
        residuals: [N], not all zero.
        dampings: [G], relative to the largest eigenvalue.

    Returns:
        [G] float64, 1 for a regression that explains nothing.

    Raises:
        ValueError: If all residuals are zero.
    """
    y = np.asarray(residuals, np.float64)
    along = y @ spectrum.left  # [r]; in the primal form times the singular values
    inside = np.square(along if spectrum.dual else along / _singular(spectrum))
    return _gcv(spectrum, inside[None], np.array([y @ y]), len(y), dampings)[:, 0]


def draw_error(
    spectrum: Spectrum,
    queries: np.ndarray,
    train: np.ndarray,
    others: np.ndarray,
    dampings: Sequence[float],
) -> np.ndarray:
    """Error of the coefficients of one draw of noise on the features of another draw.

    Args:
        spectrum: Kernel of the training features of the first draw [N, P], decomposed.
        queries: [Q, P] features of the queries, of the first draw.
        train: [N, P'] training features of the second draw.
        others: [Q, P'] features of the same queries, of the second draw, none all zero.
        dampings: [G], relative to the largest eigenvalue of the first kernel.

    Returns:
        [G, Q] float64, 1 for coefficients that explain nothing.

    Raises:
        ValueError: If a query's feature is all zero.
    """
    right, others = spectrum.of(queries).right, np.asarray(others, np.float64)
    total = np.square(others).sum(1)
    _nonzero(total)
    turned = np.zeros((train.shape[1], right.shape[1]))  # Phi'^T times the training side, [P', r]
    for rows in memory_blocks(len(train), 8 * train.shape[1]):
        turned += np.asarray(train[rows], np.float64).T @ spectrum.left[rows]
    errors = []
    for damping in np.multiply(dampings, spectrum.scale):
        left = others - (right / (spectrum.eigenvalues + damping)) @ turned.T
        errors.append(np.square(left).sum(1) / total)
    return np.stack(errors)


def _nonzero(total: np.ndarray) -> None:
    if not total.all():
        raise ValueError("a vector of zeros cannot be regressed; leave it out")


def _singular(spectrum: Spectrum) -> np.ndarray:
    """Singular values of the features, [r]; infinite where there is no direction to speak of."""
    present = spectrum.eigenvalues > np.finfo(float).eps * spectrum.scale
    return np.sqrt(np.where(present, spectrum.eigenvalues, np.inf))


def _gcv(
    spectrum: Spectrum, inside: np.ndarray, total: np.ndarray, n: int, dampings: Sequence[float]
) -> np.ndarray:
    """GCV over that of a regression on nothing, [G, Q].

    Args:
        spectrum: For the eigenvalues.
        inside: [Q, r] squared coordinates c_k^2 of the Q regressed vectors.
        total: [Q] their squared lengths.
        n: Number of observations.
        dampings: [G].
    """
    _nonzero(total)
    damping = np.asarray(dampings, np.float64)[:, None] * spectrum.scale
    kept = damping / (spectrum.eigenvalues + damping)  # s_k, [G, r]
    outside = np.maximum(total - inside.sum(1), 0)
    if n == len(spectrum.eigenvalues) and np.isfinite(_singular(spectrum)).all():
        outside[:] = 0  # without a rounding error, which a small damping would enlarge
    errors = outside + np.square(kept) @ inside.T  # [G, Q]
    freedom = n - len(spectrum.eigenvalues) + kept.sum(1, keepdims=True)
    return errors / total * (n / freedom) ** 2
