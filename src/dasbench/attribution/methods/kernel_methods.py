"""Methods with the inverse kernel of gradient features: TRAK, D-TRAK, relative influence, DAS.

One formula serves all, tau_i(q) = phi_q^T K^-1 phi_i * r_i / (1 - h_i) / d_i. Its options are:

residual      r_i: how badly the model fits example i ("none" is 1).
leverage      1 / (1 - h_i): turns the effect of down-weighting i into the exact effect of leaving i
              out, in the linear model.
denominator   d_i: "preconditioned_norm" ||K^-1 phi_i|| (relative influence), "feature_norm"
              ||phi_i|| (renormalised influence), "none".
kernel        "averaged": K of features averaged over timesteps; "pooled" and "per_t" keep the
              timesteps apart (see ``dasbench.attribution.by_timestep``), and need features by
              timestep.
features      readout, noise and normalisation of the features (see
              ``dasbench.gradients.features``); with readout probe, the features of m probes side by
              side (see ``dasbench.gradients.probes``).
journey       features of a query are computed along its sampling trajectory (see
              ``dasbench.gradients.trajectories``).

Methods and their options: trak {readout loss}; dtrak {readout square}; relative_if {readout loss,
preconditioned_norm}; renormalized_if {readout loss, feature_norm}; journey_trak {readout loss,
journey}; das {readout mean, normalise, residual, leverage, transform square}; das_probes {das with
m probes}. ``*_common`` adds the same noise to every image.

References: TRAK, Park et al. (2023), arXiv 2303.14186; Journey TRAK, Georgiev et al. (2023), arXiv
2312.06205; D-TRAK, Zheng et al. (2024), arXiv 2311.00500; relative influence, Barshan et al.
(2020), arXiv 2003.11630; renormalised influence, Hammoudeh and Lowd (2022), arXiv 2201.10055; DAS,
Lin et al. (2025), arXiv 2410.18639.
Cost: features of N + Q images at T timesteps ((1 + m) / 2 times as much with m probes); one
eigendecomposition of size min(N, P), shared by all methods with these features; then
2 N Q min(N, P) per damping. journey_trak also samples the queries again.
Direction: methods with loss gradients are signed, helpful is positive; the square transform (das)
is unsigned.
Does not apply: without gradients (a black-box model); journey_trak to held-out images, which the
model did not sample, or to samples from unknown noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import Point, product
from dasbench.attribution.spectrum import Spectrum
from dasbench.core.memmaps import norms

needs = ("timesteps", "features", "spectrum", "journey", "residuals")


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores) for each relative damping, from one eigendecomposition.

    Scores are [N, Q], or [T, N, Q] where the kernel keeps timesteps apart.
    """
    if options["kernel"] != "averaged":
        yield from _by_timestep(inputs, options, points)
        return
    if _members(inputs, options):
        yield from _ensemble(inputs, options, points)
        return
    spectrum = _spectrum(inputs).of(inputs.query_features)
    factors = example_factors(spectrum, inputs, options, [point["damping"] for point in points])
    for point, factor in zip(points, factors, strict=True):
        scores = spectrum.inner(point["damping"])
        scores *= factor[:, None]
        yield point, scores


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The damping, relative to the largest eigenvalue of the kernel."""
    return product({"damping": dampings})


def prepare(inputs: Inputs, options: Mapping[str, Any]) -> Inputs:
    """The inputs with the kernels of all members decomposed, once for all queries."""
    if options["kernel"] != "averaged":
        return inputs
    others = _members(inputs, options)
    if others and options.get("combine") == "kernels":
        inputs, others = _side_by_side(inputs), ()
    spectra = [Spectrum(train) for train, _ in others]
    return replace(inputs, spectrum=_spectrum(inputs), prepared=spectra)


def _members(inputs: Inputs, options: Mapping[str, Any]) -> tuple:
    """The sets of features of an ensemble after the first; none once they are side by side."""
    return inputs.others if options.get("ensemble") else ()


def _ensemble(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores) of several feature sets that share all other options.

    Combined by scores, [S, N, Q]: each of the S members has a separate kernel and unit of damping.
    The scores of each member are scaled to a mean square of 1, so that no member outweighs another;
    a transform acts on each member. Combined by kernels, [N, Q]: one kernel, the sum of the
    kernels of the members, each scaled to trace 1.
    """
    if options.get("combine", "scores") == "kernels":
        yield from path(_side_by_side(inputs), options, points)
        return
    spectra = inputs.prepared or [None] * len(inputs.others)
    members = [replace(inputs, others=())]
    members += [
        replace(inputs, train_features=train, query_features=query, spectrum=spectrum, others=())
        for (train, query), spectrum in zip(inputs.others, spectra, strict=True)
    ]
    for parts in zip(*(path(member, options, points) for member in members), strict=True):
        scores = np.stack([member_scores for _, member_scores in parts])
        sizes = np.sqrt(np.square(scores).mean(axis=1, keepdims=True))  # [S, 1, Q]
        yield parts[0][0], scores / np.where(sizes > 0, sizes, 1.0)


def _side_by_side(inputs: Inputs) -> Inputs:
    """The features of all members as one set; the kernel of each member has trace 1."""
    pairs = [(inputs.train_features, inputs.query_features), *inputs.others]
    sizes = [np.sqrt(np.square(norms(train)).sum()) or 1.0 for train, _ in pairs]
    train, query = (
        np.hstack(
            [np.asarray(pair[side], np.float64) / s for pair, s in zip(pairs, sizes, strict=True)]
        )
        for side in (0, 1)
    )
    return replace(inputs, train_features=train, query_features=query, spectrum=None, others=())


def _by_timestep(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [T, N, Q]) of the kernels pooled and per_t."""
    kernel, spectra = options["kernel"], inputs.spectrum
    if options["denominator"] != "none":
        raise ValueError(f"denominator must be none with kernel {kernel}")
    rotated = spectra.of(kernel, inputs.query_timesteps)
    for point in points:
        value = point["damping"]
        factor = np.ones(inputs.shape[0])
        if options["residual"] != "none":
            factor = factor * inputs.residuals
        if options["leverage"]:
            factor = factor / spectra.one_minus_leverage(kernel, value)
        scores = np.stack([one.inner(value) for one in rotated])
        scores *= factor[..., None]  # [N, 1] or [T, N, 1]
        yield point, scores


def leverages(inputs: Inputs, options: Mapping[str, Any], damping: float) -> np.ndarray:
    """h_i at one relative damping, [N] or [T, N]: how much each example determines its own fit."""
    if options["kernel"] != "averaged":
        return 1 - inputs.spectrum.one_minus_leverage(options["kernel"], damping)
    if _members(inputs, options) and options.get("combine") == "kernels":
        inputs = _side_by_side(inputs)
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
    """Lengths, with 1 for zero features: their score is then 0, not a quotient of roundings."""
    return np.where(features.any(axis=1), lengths, 1.0)
