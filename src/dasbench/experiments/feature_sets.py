"""The sets of gradient features that an experiment needs, and the names of their folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.experiments import config

_SUFFIXES = (("timesteps", "T"), ("draws", "E"), ("dimensions", "P"))


def of_method(
    options: Mapping[str, Any], experiment: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The sets of gradient features of one method, in the order of its inputs.

    * With ``checkpoints``, one set for each checkpoint. The last checkpoint is the base model, so
      the name of its set has no checkpoint.
    * With ``ensemble``, the set of ``features``, then one set for each member.
    * With a vector residual, the set of probes, then the set of loss gradients.

    Args:
        options: ``config.methods(experiment)[name]``.
        experiment: As for ``name_of``.

    Returns:
        name -> settings; empty for pixels, embeddings and methods without features.
    """
    features = options.get("features")
    if not isinstance(features, Mapping):
        return {}
    every_set = [dict(features)]
    if "checkpoints" in options:
        every = range(len(config.checkpoints(experiment)))
        numbers = every if options["checkpoints"] == "all" else options["checkpoints"]
        every_set = [
            {**features, **({"checkpoint": c} if c != every[-1] else {})} for c in sorted(numbers)
        ]
    every_set += [{**features, **member} for member in options.get("ensemble", [])]
    every_set += [loss_side(features)] if options.get("residual") == "vector" else []
    return {name_of(settings, experiment): settings for settings in every_set}


def sets(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every set of averaged gradient features that some method needs: name -> settings."""
    return _needed_sets(experiment, by_timestep=False)


def by_timestep(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every set of features by timestep that some method needs: name -> settings."""
    return _needed_sets(experiment, by_timestep=True)


def keeps_timesteps(options: Mapping[str, Any]) -> bool:
    """Whether a method uses features by timestep, not averaged over timesteps."""
    return options.get("by_timestep", False) or options.get("kernel", "averaged") != "averaged"


def has_spectrum(options: Mapping[str, Any]) -> bool:
    """Whether a method uses the decomposed kernel that methods with equal features share.

    A method with a vector residual does not: its kernel has each probe's gradient as a row, where
    the shared kernel has all gradients of an example side by side in one row.
    """
    differs = keeps_timesteps(options) or options.get("residual") == "vector"
    return "kernel" in options and not differs


def compares_images(options: Mapping[str, Any]) -> bool:
    """Whether a method's kernel compares queries with training images as it compares these.

    Then a training image can be a query. Along a sampling trajectory, only samples have features.
    """
    return options["module"] == "kernel_methods" and not options.get("journey")


def loss_side(features: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the loss gradients that belong to a set of probes.

    They use the noise of the probes and the projection of one probe. The sizes of a projection
    decide its random draw, so both must have equal sizes. Each of m probes has P // m dimensions;
    kronecker projects it from blocks m times as wide.

    Args:
        features: Complete settings of the set of probes.
    """
    m = sum(features["probes"].values())
    settings = {key: value for key, value in features.items() if key != "probes"}
    settings |= {"readout": "loss", "normalise": False, "dimensions": features["dimensions"] // m}
    if features["projection"] == "kronecker":
        settings["oversampling"] = m * features["oversampling"]
    return settings


def _needed_sets(experiment: Mapping[str, Any], by_timestep: bool) -> dict[str, dict[str, Any]]:
    """Sets by timestep, or averaged sets; only the first set of a method can be by timestep."""
    needed = {}
    for options in config.methods(experiment).values():
        every_set = list(of_method(options, experiment).items())
        first = every_set[:1] if keeps_timesteps(options) else []
        needed |= dict(first if by_timestep else every_set[len(first) :])
    return needed


def name_of(features: Mapping[str, Any] | str | None, experiment: Mapping[str, Any]) -> str | None:
    """Readable name of a feature set, such as ``mean-normalised-keyed`` or ``loss-keyed-T100``.

    Args:
        features: ``config.methods(experiment)[name].get("features")``.
        experiment: The experiment. The name leaves out settings equal to those of its section
            ``features``.

    Returns:
        The name, or None for pixels and for methods without features.
    """
    if not isinstance(features, Mapping):
        return None
    parts = [features["readout"]]
    parts += [f"{kind}{n}" for kind, n in features.get("probes", {}).items() if n]
    parts += ["normalised"] if features["normalise"] else []
    parts += [features["noise"]]
    parts += ["released"] if features["timestep_rule"] == "released" else []
    usual = experiment["features"]
    parts += [
        f"{letter}{features[key]}" for key, letter in _SUFFIXES if features[key] != usual[key]
    ]
    if features["projection"] != usual["projection"]:
        parts.append({"none": "unprojected"}.get(features["projection"], features["projection"]))
    for key, none in (
        ("norms", ""),
        ("oversampling", "times"),
        ("parameters", ""),
        ("candidates", "all"),
        ("dtype", ""),
    ):
        if features[key] != usual[key]:
            parts.append(f"{none and key}{features[key] or none}")
    if features["timestep_range"] != usual["timestep_range"]:
        parts.append(timestep_range(features))
    parts += [f"checkpoint{features['checkpoint']:02d}"] if "checkpoint" in features else []
    parts += [f"draw{features['draw']}"] if "draw" in features else []
    return "-".join(parts)


def timestep_range(features: Mapping[str, Any]) -> str:
    """Part of a name for a range of timesteps, such as ``t200to600``; ``tall`` for all of them."""
    first_end = features["timestep_range"]
    return f"t{first_end[0]}to{first_end[1]}" if first_end else "tall"
