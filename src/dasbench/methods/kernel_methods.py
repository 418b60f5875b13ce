"""Methods with the inverse kernel of gradient features: TRAK, D-TRAK, relative influence, DAS.

One implementation, tau_i(q) = phi_q^T K^-1 phi_i * r_i / (1 - h_i) / d_i, each factor an option:

residual      r_i: how badly the model fits example i ("none" is 1).
leverage      1 / (1 - h_i): the exact step from "down-weight" to "leave out" in the linear model.
denominator   d_i: "preconditioned_norm" ||K^-1 phi_i|| (relative influence), "feature_norm"
              ||phi_i|| (renormalised influence), "none".
features      which readout, noise and normalisation the features have (see ``dasbench.features``);
              readout probe: the features of m probes side by side (see ``dasbench.probes``).
journey       the query's features are taken along its sampling trajectory (``dasbench.journeys``).

Names: trak is {loss}, dtrak {square readout}, relative_if {loss, preconditioned_norm}, das {mean
readout, normalise, residual, leverage, square}; renormalized_if {loss, feature_norm}; journey_trak
{loss, journey}; das_probes {das with m probes}; ``*_common`` adds one noise to every image.

References: TRAK, Park et al. (2023), arXiv 2303.14186; Journey TRAK, Georgiev et al. (2023), arXiv
2312.06205; D-TRAK, Zheng et al. (2024), arXiv 2311.00500; relative influence, Barshan et al.
(2020), arXiv 2003.11630; renormalised influence, Hammoudeh and Lowd (2022), arXiv 2201.10055; DAS,
Lin et al. (2025), arXiv 2410.18639.
Cost: features of N + Q images at T timesteps (m probes: (1 + m) / 2 times as much), one
eigendecomposition of size min(N, P) that all methods with these features share, then
2 N Q min(N, P) per damping. journey_trak: the queries are sampled again.
Direction: those with loss gradients signed, helpful is positive; the square transform (das) is
unsigned.
Does not apply: without gradients (a black-box model); journey_trak to images that were not sampled
from the model, or from unknown noise: held-out images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.kernel import Spectrum
from dasbench.mapped import norms
from dasbench.methods.interface import Inputs


def path(
    inputs: Inputs, options: Mapping[str, Any], damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield (relative damping, scores [N, Q]) for each damping, from one eigendecomposition."""
    spectrum = _spectrum(inputs).of(inputs.query_features)
    factors = example_factors(spectrum, inputs, options, damping)
    for value, factor in zip(damping, factors, strict=True):
        scores = spectrum.inner(value)
        scores *= factor[:, None]
        yield value, scores


def leverages(inputs: Inputs, damping: float) -> np.ndarray:
    """h_i, [N] in [0, 1), at one relative damping: how much each example determines its own fit."""
    return 1 - _spectrum(inputs).one_minus_leverage(damping)


def _spectrum(inputs: Inputs) -> Spectrum:
    return Spectrum(inputs.train_features) if inputs.spectrum is None else inputs.spectrum


def example_factors(
    spectrum: Spectrum, inputs: Inputs, options: Mapping[str, Any], damping: Sequence[float]
) -> np.ndarray:
    """r_i / (1 - h_i) / d_i, [G, N], with the factors that the options switch on.

    Raises:
        ValueError: If the denominator is unknown.
    """
    factor = np.ones((len(damping), len(inputs.train_features)))
    if options["residual"] != "none":
        factor = factor * inputs.residuals
    if options["leverage"]:
        factor = factor / spectrum.one_minus_leverage(damping)
    if options["denominator"] == "preconditioned_norm":
        return factor / _nonzero(spectrum.preconditioned_norm(damping), inputs.train_features)
    if options["denominator"] == "feature_norm":
        return factor / _nonzero(norms(inputs.train_features), inputs.train_features)
    if options["denominator"] != "none":
        raise ValueError(
            "denominator must be none, preconditioned_norm or feature_norm, "
            f"got {options['denominator']!r}"
        )
    return factor


def _nonzero(lengths: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Lengths, 1 for an example without gradient: it scores 0, not rounding over rounding."""
    return np.where(features.any(axis=1), lengths, 1.0)
