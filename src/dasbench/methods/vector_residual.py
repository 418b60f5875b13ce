"""The vector residual: what an example's whole prediction error, not its length, did to the model.

The network is linearised, eps_theta(x_t) = J_t theta + const, and fitted by least squares. What
example i added to the parameters is then, to first order in its own weight,

    Delta theta_i = K^-1 b_i        b_i = mean_t J_{i,t}^T r_{i,t} = -(D / 2) mean_t grad L_i
    K = sum_i mean_t J_{i,t}^T J_{i,t} + lambda I = E_v sum_i mean_t (v^T J)^T (v^T J) + lambda I

with r = target - prediction and independent signs v: only isotropic v have E[v v^T] = I. So the
residual needs no file: it is in the gradient of the loss. Two sets of features, both unnormalised,
with the same noise and in the same projection: those of m probes, v^T J / D side by side, and those
of the loss, P // m wide like each probe (``dasbench.feature_sets.loss_side``). The number m follows
from the widths. ``effect`` says what is made of the step:

loss          -grad L_q^T Delta theta_i, what leaving i out adds to the query's loss (vector_if).
displacement  v^T J_q Delta theta_i for every v, whose mean square is ||J_q Delta theta_i||^2, how
              far leaving i out moves the query's prediction (das_vector).

``kernel``: "pooled" is K as above; "averaged" has the means over t of v^T J in the place of J_t.
Damping is relative to the largest eigenvalue of K without it. D is that of the images; a model of
latents predicts fewer numbers, which multiplies all scores by a constant.

There is no leverage: in the place of 1 / (1 - h) stands (1 - J_i K^-1 J_i^T)^-1, a block of T D
rows, of which m probes are a sample. What it is *not*: TRAK, whose kernel is that of loss
gradients.

References: the vector form of DAS, Lin et al. (2025), arXiv 2410.18639, section 3; with the signed
effect it is the influence function (Koh and Liang, 2017, arXiv 1703.04730) with the Gauss-Newton
matrix of the output, which EK-FAC (Grosse et al., 2023, arXiv 2308.03296) approximates otherwise.
Cost: features of N + Q images of m probes and of the loss, one eigendecomposition of size
min(m N, P / m) (pooled: m T N rows), then 2 N Q P / m per damping and, for the displacement, probe.
Direction: loss signed, helpful is positive; displacement unsigned under the square.
Does not apply: without gradients (a black-box model); with probes that are not isotropic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench import decomposition
from dasbench.methods.interface import Inputs

EFFECTS = ("loss", "displacement")


def path(
    inputs: Inputs, options: Mapping[str, Any], damping: Sequence[float]
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (relative damping, scores) for each damping, from one eigendecomposition.

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
        train, query = inputs.train_features[None], inputs.query_features[None]
    else:
        train_loss, query_loss = inputs.train_features, inputs.query_features
        train, query = inputs.spectrum.train, inputs.query_timesteps
    size = float(np.prod(inputs.query_images.shape[1:]))  # D
    wide = train_loss.shape[1]
    probes, steps = train.shape[2] // wide, len(train)
    rows = train.reshape(-1, wide)  # v^T J / D of every timestep, example and probe
    if effect == "loss":
        asked = -np.asarray(query_loss, np.float64)[None]  # [1, Q, P]
    else:
        parts = np.asarray(query, np.float64).reshape(steps, -1, probes, wide)
        asked = size * parts.transpose(0, 2, 1, 3).reshape(steps * probes, -1, wide)
    b = -size / 2 * np.asarray(train_loss, np.float64)
    for value, scores in _products(rows, size**2 / (probes * steps), b, asked, damping):
        yield value, scores[0] if effect == "loss" else scores


def _products(
    rows: np.ndarray,
    weight: float,
    left: np.ndarray,
    right: np.ndarray,
    damping: Sequence[float],
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (damping, left K^-1 right^T) with K = weight rows^T rows + lambda I.

    What of ``left`` and ``right`` the rows do not span is damped by lambda alone. It is kept apart:
    from the whole, (1 / lambda - 1 / (e + lambda)) would have to be subtracted.

    Args:
        rows: [n, P], any float type; may be a mapped file.
        weight: Of every row.
        left: [N, P].
        right: [R, Q, P].
        damping: Relative to the largest eigenvalue of weight rows^T rows.

    Yields:
        (damping, [R, N, Q]).
    """
    values, basis = decomposition.decompose(rows)
    if decomposition.is_dual(rows.shape):
        kept = values > values.max() * len(values) * np.finfo(float).eps
        basis = np.asarray(rows, np.float64).T @ basis[:, kept] / np.sqrt(values[kept])
        values = values[kept]
    values = weight * values
    ours, theirs = left @ basis, right @ basis  # [N, r], [R, Q, r]
    rest = None
    if basis.shape[1] < len(basis):
        rest = (left - ours @ basis.T) @ (right - theirs @ basis.T).transpose(0, 2, 1)
    for relative in damping:
        shift = relative * values.max()
        scores = (ours / (values + shift)) @ theirs.transpose(0, 2, 1)
        yield relative, scores if rest is None else scores + rest / shift
