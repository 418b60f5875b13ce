"""Which residuals an experiment needs, and what their files are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.experiments import ablation_design, config, feature_sets


def name_of(options: Mapping[str, Any], experiment: Mapping[str, Any]) -> str | None:
    """Name of the residuals that a method needs, such as ``scalar`` or ``scalar-T100``, or None.

    The scalar form is taken at the method's own feature timesteps, the released form at a grid of
    its own.
    """
    kind = options.get("residual", "none")
    if kind in ("none", "vector"):  # the vector is in the loss gradients
        return None
    usual, own = experiment["features"], options["features"]
    parts = [kind]
    if kind == "scalar":
        parts += [f"T{own['timesteps']}"] * (own["timesteps"] != usual["timesteps"])
        parts += [f"E{own['draws']}"] * (own["draws"] != usual["draws"])
        parts += ["released"] * (own["timestep_rule"] == "released")
        parts += [feature_sets.timestep_range(own)] * (
            own["timestep_range"] != usual["timestep_range"]
        )
        parts += ["by_timestep"] * (options["kernel"] == "per_t")
    return "-".join(parts)


def sets(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every set of residuals that some method needs: name -> settings, each once."""
    found = {}
    for options in (
        *config.methods(experiment).values(),
        *ablation_design.residual_options(experiment),
    ):
        name = name_of(options, experiment)
        if name:
            own, released = options["features"], options["residual"] == "released"
            count = experiment["residuals"]["released_timesteps"]
            found[name] = {
                "kind": options["residual"],
                "timesteps": count if released else own["timesteps"],
                "timestep_rule": "released" if released else own["timestep_rule"],
                "draws": experiment["features"]["draws"] if released else own["draws"],
            }
            if not released and own["timestep_range"]:
                found[name]["timestep_range"] = own["timestep_range"]
            if name.endswith("by_timestep"):
                found[name]["by_timestep"] = True
    return found
