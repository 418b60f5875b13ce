"""The sets of residuals that an experiment needs, and the names of their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.experiments import ablation_design, config, feature_sets


def name_of(options: Mapping[str, Any], experiment: Mapping[str, Any]) -> str | None:
    """Name of the residuals that a method needs, such as ``scalar`` or ``scalar-T100``, or None.

    Scalar residuals use the timesteps of the method's features. Released residuals use the grid
    ``residuals.released_timesteps``.
    """
    kind = options.get("residual", "none")
    if kind in ("none", "vector"):  # the loss gradients already contain the vector residual
        return None
    usual, features = experiment["features"], options["features"]
    parts = [kind]
    if kind == "scalar":
        parts += [f"T{features['timesteps']}"] * (features["timesteps"] != usual["timesteps"])
        parts += [f"E{features['draws']}"] * (features["draws"] != usual["draws"])
        parts += ["released"] * (features["timestep_rule"] == "released")
        parts += [feature_sets.timestep_range(features)] * (
            features["timestep_range"] != usual["timestep_range"]
        )
        parts += ["by_timestep"] * (options["kernel"] == "per_t")
    return "-".join(parts)


def sets(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every set of residuals that some method or study needs: name -> settings."""
    needed = {}
    for options in (
        *config.methods(experiment).values(),
        *ablation_design.residual_options(experiment),
        *damping_options(experiment).values(),
    ):
        name = name_of(options, experiment)
        if name:
            features, released = options["features"], options["residual"] == "released"
            count = experiment["residuals"]["released_timesteps"]
            needed[name] = {
                "kind": options["residual"],
                "timesteps": count if released else features["timesteps"],
                "timestep_rule": "released" if released else features["timestep_rule"],
                "draws": experiment["features"]["draws"] if released else features["draws"],
            }
            if not released and features["timestep_range"]:
                needed[name]["timestep_range"] = features["timestep_range"]
            if name.endswith("by_timestep"):
                needed[name]["by_timestep"] = True
    return needed


def damping_options(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Methods of the study of dampings, with scalar residuals, on which it regresses features."""
    methods = config.methods(experiment)
    return {
        name: {**methods[name], "residual": "scalar"} for name in experiment["dampings"]["twins"]
    }
