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

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Yield (point, scores [N, Q]) of one part for each relative damping."""
    spectrum = inputs.spectrum.of(inputs.query_features)
    factors = example_factors(spectrum, inputs, options, [point["damping"] for point in points])
    for point, factor in zip(points, factors, strict=True):
        scores = spectrum.inner(point["damping"])
        scores *= factor[:, None]
        yield point, _of_unit_size(scores) if _has_members(options) else scores


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The damping, relative to the largest eigenvalue of the kernel."""
    return product({"damping": dampings})


def parts(inputs: Inputs, options: Mapping[str, Any]) -> list[Callable[[], Inputs]]:
    """One part for each timestep of a kernel that keeps them apart, or for each member.

    Raises:
        ValueError: If a kernel that keeps timesteps apart has a denominator.
    """
    kernel = options["kernel"]
    if kernel != "averaged":
        if options["denominator"] != "none":
            raise ValueError(f"denominator must be none with kernel {kernel}")
        steps = range(inputs.spectrum.steps(kernel))
        return [functools.partial(_timestep, inputs, kernel, t) for t in steps]
    if options.get("ensemble") and not _has_members(options):
        return [lambda: _member(_side_by_side(inputs), 0)]
    members = 1 + len(inputs.others) * _has_members(options)
    return [functools.partial(_member, inputs, k) for k in range(members)]


def leverages(inputs: Inputs, options: Mapping[str, Any], damping: float) -> np.ndarray:
    """h_i of one part at a relative damping, [N]: how much each example determines its own fit."""
    return 1 - inputs.spectrum.one_minus_leverage(damping)


def _timestep(inputs: Inputs, kernel: str, t: int) -> Inputs:
    """The inputs of one timestep: those of a kernel of features that are not averaged."""
    residuals = inputs.residuals
    return replace(
        inputs,
        spectrum=inputs.spectrum.at(kernel, t),
        train_features=inputs.spectrum.train[t],
        query_features=inputs.query_timesteps[t],
        query_timesteps=None,
        residuals=residuals[t] if np.ndim(residuals) > 1 else residuals,
    )


def _has_members(options: Mapping[str, Any]) -> bool:
    """Whether the score is a mean over several sets of features that share all other options.

    Each member has a separate kernel and unit of damping; a transform acts on each. Combined by
    kernels, there is one kernel, the sum of the kernels of the members, each scaled to trace 1.
    """
    return bool(options.get("ensemble")) and options.get("combine", "scores") == "scores"


def _member(inputs: Inputs, k: int) -> Inputs:
    """The inputs with set k of the features alone, and its kernel decomposed."""
    if k:
        train, query = inputs.others[k - 1]
        inputs = replace(inputs, train_features=train, query_features=query, spectrum=None)
    spectrum = inputs.spectrum or Spectrum(inputs.train_features)
    return replace(inputs, spectrum=spectrum, others=())


def _of_unit_size(scores: np.ndarray) -> np.ndarray:
    """Scores of a member, each query's with a mean square of 1: no member outweighs another."""
    sizes = np.sqrt(np.square(scores).mean(axis=0))
    return scores / np.where(sizes > 0, sizes, 1.0)


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
    return replace(inputs, train_features=train, query_features=query, spectrum=None)


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
