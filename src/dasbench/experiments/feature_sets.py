"""Which gradient features an experiment needs, and what their folders are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.experiments import config

_SUFFIXES = (("timesteps", "T"), ("draws", "E"), ("dimensions", "P"))


def of_method(
    options: Mapping[str, Any], experiment: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The sets of gradient features of one method, in the order in which it is given them.

    Args:
        options: ``config.methods(experiment)[name]``. With ``checkpoints`` there is one for each of
            them; the last checkpoint is the base model, whose features have no checkpoint in their
            name. With ``ensemble`` the method's own set comes first, then one for each member;
            with a vector residual, then that of the loss.
        experiment: As for ``name_of``.

    Returns:
        name -> settings; empty for pixels, embeddings and methods without features.
    """
    features = options.get("features")
    if not isinstance(features, Mapping):
        return {}
    found = [dict(features)]
    if "checkpoints" in options:
        every = range(len(config.checkpoints(experiment)))
        chosen = every if options["checkpoints"] == "all" else options["checkpoints"]
        found = [
            {**features, **({"checkpoint": c} if c != every[-1] else {})} for c in sorted(chosen)
        ]
    found += [{**features, **member} for member in options.get("ensemble", [])]
    found += [loss_side(features)] if options.get("residual") == "vector" else []
    return {name_of(settings, experiment): settings for settings in found}


def sets(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every set of gradient features that some method needs: name -> settings, each once."""
    return _chosen(experiment, apart=False)


def by_timestep(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The same of features by timestep, for kernels that keep timesteps apart."""
    return _chosen(experiment, apart=True)


def keeps_timesteps(options: Mapping[str, Any]) -> bool:
    """Whether a method's kernel keeps the timesteps apart."""
    return options.get("kernel", "averaged") != "averaged"


def has_spectrum(options: Mapping[str, Any]) -> bool:
    """Whether a method shares the decomposed kernel of its averaged features with others.

    With a vector residual the probes' gradients are rows of the kernel, not side by side.
    """
    alone = keeps_timesteps(options) or options.get("residual") == "vector"
    return "kernel" in options and not alone


def loss_side(features: Mapping[str, Any]) -> dict[str, Any]:
    """The loss gradients that go with a set of probes: the same noise, one probe's projection.

    A projection is drawn by its sizes. Each of m probes has P // m dimensions, with kronecker from
    blocks m times as wide; so has this set.

    Args:
        features: Complete settings, with probes.
    """
    m = sum(features["probes"].values())
    own = {key: value for key, value in features.items() if key != "probes"}
    own |= {"readout": "loss", "normalise": False, "dimensions": features["dimensions"] // m}
    if features["projection"] == "kronecker":
        own["oversampling"] = m * features["oversampling"]
    return own


def _chosen(experiment: Mapping[str, Any], apart: bool) -> dict[str, dict[str, Any]]:
    """Sets by timestep, or averaged; a method has by timestep its first one alone."""
    found = {}
    for options in config.methods(experiment).values():
        own = list(of_method(options, experiment).items())
        first = own[:1] if keeps_timesteps(options) else []
        found |= dict(first if apart else own[len(first) :])
    return found


def name_of(features: Mapping[str, Any] | str | None, experiment: Mapping[str, Any]) -> str | None:
    """Readable name of a feature set, such as ``mean-normalised-keyed`` or ``loss-keyed-T100``.

    Args:
        features: ``config.methods(experiment)[name].get("features")``.
        experiment: Settings that equal the experiment's own are left out of the name.

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
    """A range of timesteps as part of a name, such as ``t200to600``."""
    first_end = features["timestep_range"]
    return f"t{first_end[0]}to{first_end[1]}" if first_end else "tall"
