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

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dasbench.attribution import decomposition
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import Point, product

needs = ("timesteps", "features")

EFFECTS = ("loss", "displacement")


class Kernel(NamedTuple):
    """The decomposed kernel K without lambda, and b_i inside and outside the span of its basis.

    Only lambda damps the part outside. It is computed separately: a difference of b K^-1 right^T /
    lambda and the rest would lose digits.

    Attributes:
        values: [r], eigenvalues that are not 0.
        basis: [P, r], orthonormal columns, their eigenvectors.
        inside: [N, r], b_i in the basis.
        outside: [N, P]; None if the basis spans everything.
    """

    values: np.ndarray
    basis: np.ndarray
    inside: np.ndarray
    outside: np.ndarray | None


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [N, Q]) of one part for each relative damping."""
    kernel, effect = inputs.prepared
    right = _effect(inputs, options, effect)  # [Q, P]
    right_in, rest = right @ kernel.basis, None
    if kernel.outside is not None:
        rest = kernel.outside @ (right - right_in @ kernel.basis.T).T
    for point in points:
        shift = point["damping"] * kernel.values.max()
        scores = kernel.inside @ (right_in / (kernel.values + shift)).T
        yield point, scores if rest is None else scores + rest / shift


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The damping, relative to the largest eigenvalue of K without lambda."""
    return product({"damping": dampings})


def parts(inputs: Inputs, options: Mapping[str, Any]) -> list[Callable[[], Inputs]]:
    """One part for the loss; for the displacement one for each timestep (if pooled) and probe.

    Raises:
        ValueError: If kernel or effect is unknown.
    """
    if options["kernel"] not in ("averaged", "pooled"):
        raise ValueError(
            f"kernel must be averaged or pooled with a vector residual, got {options['kernel']}"
        )
    if options["effect"] not in EFFECTS:
        raise ValueError(f"effect must be {' or '.join(EFFECTS)}, got {options['effect']!r}")
    steps, probes, _ = _shape(inputs, options)
    count = 1 if options["effect"] == "loss" else steps * probes
    kernel = functools.cache(lambda: _decomposed(inputs, options))  # one for all parts
    return [lambda k=k: replace(inputs, prepared=(kernel(), k)) for k in range(count)]


def _shape(inputs: Inputs, options: Mapping[str, Any]) -> tuple[int, int, int]:
    """Timesteps of the probes' features, probes m, and P of one probe."""
    if options["kernel"] == "averaged":
        wide = inputs.others[0][0].shape[1]
        return 1, inputs.query_features.shape[1] // wide, wide
    steps, _, every = inputs.query_timesteps.shape
    return steps, every // inputs.train_features.shape[1], inputs.train_features.shape[1]


def _size(inputs: Inputs) -> float:
    """D."""
    return float(np.prod(inputs.query_images.shape[1:]))


def _effect(inputs: Inputs, options: Mapping[str, Any], k: int) -> np.ndarray:
    """The rows that multiply Delta theta_i in effect k, [Q, P] float64."""
    averaged = options["kernel"] == "averaged"
    if options["effect"] == "loss":
        loss = inputs.others[0][1] if averaged else inputs.query_features
        return -np.asarray(loss, np.float64)
    _, probes, wide = _shape(inputs, options)
    t, probe = divmod(k, probes)
    every = inputs.query_features if averaged else inputs.query_timesteps[t]
    return _size(inputs) * np.asarray(every[:, probe * wide : (probe + 1) * wide], np.float64)


def _decomposed(inputs: Inputs, options: Mapping[str, Any]) -> Kernel:
    steps, probes, wide = _shape(inputs, options)
    averaged, size = options["kernel"] == "averaged", _size(inputs)
    every = inputs.train_features if averaged else inputs.spectrum.train
    values, basis = _span(every.reshape(-1, wide))  # v^T J / D
    loss = inputs.others[0][0] if averaged else inputs.train_features
    b = -size / 2 * np.asarray(loss, np.float64)
    inside, whole = b @ basis, basis.shape[1] == len(basis)
    outside = None if whole else b - inside @ basis.T
    return Kernel(values * size**2 / (probes * steps), basis, inside, outside)


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
