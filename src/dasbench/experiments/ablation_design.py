"""Design of the factorial ablation, and the features and residuals that it needs.

Vocabulary: a *factor* is one choice in the definition of a score. Its *levels* are the values of
this choice; the first level is the *reference*. A *cell* is one combination of levels, and the
ablation computes all of them. A *form* is a readout, normalised or not. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NORMALISE = (False, True)
LEVERAGE = (False, True)
FACTORS = (
    "readout",
    "normalise",
    "noise",
    "residual",
    "leverage",
    "transform",
    "kernel",
    "damping_rule",
)


def wanted(experiment: Mapping[str, Any]) -> bool:
    """Whether an experiment has an ablation."""
    return bool(experiment["ablation"]["readouts"])


def form(readout: str, normalise: bool) -> str:
    """Name of a form, such as ``mean-normalised``; a feature set adds its noise policy to it."""
    return f"{readout}-normalised" if normalise else readout


def forms(experiment: Mapping[str, Any]) -> list[str]:
    """Names of all forms; the ablation has each of them in every noise policy."""
    return [form(r, n) for r in experiment["ablation"]["readouts"] for n in NORMALISE]


def feature_sets(experiment: Mapping[str, Any], noise: str) -> dict[str, dict[str, Any]]:
    """Feature sets of one noise policy: name -> settings; the same passes compute them."""
    base = {**experiment["features"], "noise": noise, "timestep_rule": "midpoint"}
    return {
        f"{form(readout, normalise)}-{noise}": {**base, "readout": readout, "normalise": normalise}
        for readout in experiment["ablation"]["readouts"]
        for normalise in NORMALISE
    }


def labels(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of a feature set -> its levels of readout, normalise and noise."""
    return {
        name: {key: settings[key] for key in ("readout", "normalise", "noise")}
        for noise in experiment["ablation"]["noise"]
        for name, settings in feature_sets(experiment, noise).items()
    }


def residual_options(experiment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Combinations of residual and kernel, in the form of options of a method."""
    if not wanted(experiment):
        return []
    features = {**experiment["features"], "timestep_rule": "midpoint"}
    return [
        {"residual": residual, "kernel": kernel, "features": features}
        for residual in experiment["ablation"]["residuals"]
        for kernel in experiment["ablation"]["kernels"]
    ]


def timed(options: Mapping[str, Any]) -> bool:
    """Whether a method's cost is measured.

    It is for methods of the kernel family with one set of features of the base model, and with one
    averaged kernel or one kernel for each timestep.
    """
    single = not options.get("ensemble") and not options.get("journey")
    single = single and options.get("residual") != "vector"
    kernels = options.get("kernel") in ("averaged", "per_t")
    return kernels and single and "checkpoint" not in options["features"]
