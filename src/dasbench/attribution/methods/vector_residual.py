"""The vector residual: the effect of an example through its prediction error as a vector.

Other methods use only the length of the prediction error. The network is linearised,
eps_theta(x_t) = J_t theta + const, and fitted by least squares. The contribution of example i to
the parameters is then, to first order in the weight of i,

    Delta theta_i = K^-1 b_i        b_i = mean_t J_{i,t}^T r_{i,t} = -(D / 2) mean_t grad L_i
    K = sum_i mean_t J_{i,t}^T J_{i,t} + lambda I = E_v sum_i mean_t (v^T J)^T (v^T J) + lambda I

with r = target - prediction and v vectors of independent random signs; v must be isotropic,
E[v v^T] = I. The residual needs no file, because the gradient of the loss contains it. The method
uses two sets of features, both unnormalised, with the same noise and projection:

probes  v^T J / D of m probes side by side;
loss    gradients of the loss, P // m wide like each probe
        (``dasbench.experiments.feature_sets.loss_side``).

The number m follows from the widths. The option ``effect`` names the effect of Delta theta_i:

loss          -grad L_q^T Delta theta_i: how much leaving i out adds to the query's loss
              (vector_if).
displacement  v^T J_q Delta theta_i for every v. Its mean square is ||J_q Delta theta_i||^2: how far
              leaving i out moves the query's prediction (das_vector).

The option ``kernel``: "pooled" is K as above; "averaged" replaces J_t by the mean over t of v^T J.
Damping is relative to the largest eigenvalue of K without lambda. D is the dimension of the images;
a latent model predicts fewer numbers, which multiplies all scores by a constant.

There is no leverage. The exact form of 1 / (1 - h) would be (1 - J_i K^-1 J_i^T)^-1, a block of T D
rows; m probes only sample it. This method is *not* TRAK, whose kernel uses loss gradients.

References: the vector form of DAS, Lin et al. (2025), arXiv 2410.18639, section 3. With effect loss
it is the influence function (Koh and Liang, 2017, arXiv 1703.04730) with the Gauss-Newton matrix of
the output. EK-FAC (Grosse et al., 2023, arXiv 2308.03296) is another approximation of that matrix.
Cost: features of N + Q images of m probes and of the loss, one eigendecomposition of size
min(m N, P / m) (pooled: m T N rows), then 2 N Q P / m per damping; for the displacement, per
damping and probe.
Direction: loss signed, helpful is positive; displacement unsigned under the square.
Does not apply: without gradients (a black-box model); with probes that are not isotropic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dasbench.attribution import decomposition
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import Point, product

needs = ("timesteps", "features")

EFFECTS = ("loss", "displacement")


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores) for each relative damping, from one eigendecomposition.

    Scores are [N, Q] for the loss; [m, N, Q] for the displacement, [T m, N, Q] with kernel pooled.

    Raises:
        ValueError: If kernel or effect is unknown.
    """
    kernel, effect = options["kernel"], options["effect"]
    if kernel not in ("averaged", "pooled"):
        raise ValueError(f"kernel must be averaged or pooled with a vector residual, got {kernel}")
    if effect not in EFFECTS:
        raise ValueError(f"effect must be {' or '.join(EFFECTS)}, got {effect!r}")
    if kernel == "averaged":
        ((train_loss, query_loss),) = inputs.others
        query = inputs.query_features[None]
    else:
        train_loss, query_loss = inputs.train_features, inputs.query_features
        query = inputs.query_timesteps
    size = float(np.prod(inputs.query_images.shape[1:]))  # D
    wide = train_loss.shape[1]
    probes, steps = query.shape[2] // wide, len(query)
    if effect == "loss":
        directions = -np.asarray(query_loss, np.float64)[None]  # [1, Q, P]
    else:
        parts = np.asarray(query, np.float64).reshape(steps, -1, probes, wide)
        directions = size * parts.transpose(0, 2, 1, 3).reshape(steps * probes, -1, wide)
    b = -size / 2 * np.asarray(train_loss, np.float64)
    values, basis = inputs.prepared or _span(_rows(inputs, options))
    values = values * size**2 / (probes * steps)
    damping = [point["damping"] for point in points]
    products = _products(values, basis, b, directions, damping)
    for point, scores in zip(points, products, strict=True):
        yield point, scores[0] if effect == "loss" else scores


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The damping, relative to the largest eigenvalue of K without lambda."""
    return product({"damping": dampings})


def prepare(inputs: Inputs, options: Mapping[str, Any]) -> Inputs:
    """The inputs with the kernel decomposed, once for all queries."""
    return replace(inputs, prepared=_span(_rows(inputs, options)))


def _rows(inputs: Inputs, options: Mapping[str, Any]) -> np.ndarray:
    """v^T J / D of every timestep, example and probe, [n, P]."""
    if options["kernel"] == "averaged":
        return inputs.train_features.reshape(-1, inputs.others[0][0].shape[1])
    return inputs.spectrum.train.reshape(-1, inputs.train_features.shape[1])


def _span(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nonzero eigenvalues [r] of rows^T rows, and their eigenvectors [P, r].

    Args:
        rows: [n, P], any float type; may be a mapped file.
    """
    values, basis = decomposition.decompose(rows)
    if decomposition.is_dual(rows.shape):
        kept = values > values.max() * len(values) * np.finfo(float).eps
        values = values[kept]
        basis = np.asarray(rows, np.float64).T @ basis[:, kept] / np.sqrt(values)
    return values, basis


def _products(
    values: np.ndarray,
    basis: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    damping: Sequence[float],
) -> Iterator[np.ndarray]:
    """Yield left K^-1 right^T for each damping, with K = basis diag(values) basis^T + lambda I.

    Only lambda damps the part of ``left`` and ``right`` outside the span of the basis. That part is
    computed separately: a difference of left right^T / lambda and the rest would lose digits.

    Args:
        values: [r].
        basis: [P, r], orthonormal columns.
        left: [N, P].
        right: [R, Q, P].
        damping: Relative to the largest of ``values``.

    Yields:
        [R, N, Q].
    """
    left_in, right_in = left @ basis, right @ basis  # [N, r], [R, Q, r]
    rest = None
    if basis.shape[1] < len(basis):
        rest = (left - left_in @ basis.T) @ (right - right_in @ basis.T).transpose(0, 2, 1)
    for relative in damping:
        shift = relative * values.max()
        scores = (left_in / (values + shift)) @ right_in.transpose(0, 2, 1)
        yield scores if rest is None else scores + rest / shift
