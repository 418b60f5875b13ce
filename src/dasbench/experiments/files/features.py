"""Files and settings of the inputs of methods: gradient features, residuals, embeddings.

A *computed method* has the option ``computed: X``. Its scores need the network itself, and the rule
``compute_X`` computes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dasbench.core import query_kinds
from dasbench.experiments import feature_sets
from dasbench.experiments.files.models import base_files, member_files
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import drawn_settings, settings

# options of computed methods that their scripts receive
_OPTIONS = ("draws", "steps", "loss_timesteps", "effect", "probes", "stepwise", "ascent")


def splits(experiment: Resolved) -> tuple[str, ...]:
    """Files of a set of features: the training images, and each kind of query."""
    return ("train", *query_kinds.of(experiment))


def feature_settings(experiment: Resolved, features: str) -> str:
    """The string of a set of features averaged over timesteps."""
    values = experiment.features[features]
    return drawn_settings(experiment, values, features=values)


def timestep_settings(experiment: Resolved, features: str) -> str:
    """The string of a set of features by timestep."""
    values = experiment.timesteps[features]
    return drawn_settings(experiment, values, sets={"by_timestep": values})


def _checkpoint(experiment: Resolved, features: str) -> int | None:
    """Number of the checkpoint whose gradients are the features; None for the base model."""
    return (experiment.features | experiment.timesteps)[features].get("checkpoint")


def feature_model(experiment: Resolved, features: str) -> str:
    """Folder of the model whose gradients are the features: the base model or a checkpoint."""
    number = _checkpoint(experiment, features)
    if number is None:
        return experiment.base
    return f"results/{experiment['base_home']}/models/checkpoints/{number:02d}"


def feature_model_files(experiment: Resolved, features: str) -> list[str]:
    """The files of the model in ``feature_model``."""
    is_base = _checkpoint(experiment, features) is None
    return (base_files if is_base else member_files)(
        experiment, feature_model(experiment, features)
    )


def spectra(experiment: Resolved) -> list[str]:
    """Names of the averaged sets whose decomposed kernel some method needs."""
    sets = [o["features"] for o in experiment.methods.values() if feature_sets.has_spectrum(o)]
    return sorted({feature_sets.name_of(features, experiment) for features in sets})


def journeys(experiment: Resolved) -> dict[str, dict[str, Any]]:
    """Name -> settings of the features along sampling trajectories that some method needs."""
    sets = {}
    for options in experiment.methods.values():
        if options.get("journey"):
            sets |= feature_sets.of_method(options, experiment)
    return sets


def journey_settings(experiment: Resolved, features: str) -> str:
    """The string of a set of features along sampling trajectories."""
    values, steps = journeys(experiment)[features], experiment["queries"]["sampling_steps"]
    return drawn_settings(experiment, values, features=values, sampling_steps=steps)


def residual_settings(experiment: Resolved, residuals: str) -> str:
    """The string of a set of residuals."""
    return drawn_settings(experiment, residuals=experiment.residuals[residuals])


def needs_embeddings(experiment: Resolved) -> bool:
    """Whether some method compares embeddings of images."""
    return any(o.get("features") == "embeddings" for o in experiment.methods.values())


def embedding_settings(experiment: Resolved) -> str:
    """The string of the embeddings."""
    return settings(experiment, **experiment["embedding"])


def embedding_files(experiment: Resolved, root: Path) -> list[str]:
    """Files of the CLIP model if it is a local folder; none for the name of a model on the hub."""
    folder = experiment["embedding"]["model"]
    if not (root / folder).is_dir():
        return []
    weights = sorted(file.name for file in (root / folder).glob("*.safetensors"))
    return [f"{folder}/{name}" for name in ["config.json", *weights]]


def computed_methods(experiments: Mapping[str, Resolved], by: str) -> list[str]:
    """Names of all computed methods, in any experiment, of the rule ``compute_<by>``."""
    return sorted(
        {
            name
            for experiment in experiments.values()
            for name, options in experiment.methods.items()
            if options.get("computed") == by
        }
    )


def computed_settings(experiment: Resolved, method: str, names: Sequence[str] = ()) -> str:
    """The string of a computed method: its options, settings of gradients, and whole sections.

    Args:
        experiment: The experiment.
        method: Name of the method.
        names: Sections of the experiment file that the job depends on.
    """
    more = {name: experiment[name] for name in names}
    return drawn_settings(experiment, gradients=_gradient_settings(experiment, method), **more)


def influence_settings(experiment: Resolved, method: str) -> str:
    """The string of a method of ``compute_influence``; without step sizes it has dampings."""
    options = experiment.methods[method]
    more = {} if "steps" in options else {"damping": experiment["damping"]}
    gradients = _gradient_settings(experiment, method)
    computation = options["computation"]
    return drawn_settings(experiment, computation=computation, gradients=gradients, **more)


def influence_module(experiment: Resolved, method: str) -> str:
    """Module of ``dasbench.gradients`` that computes the scores."""
    return experiment.methods[method]["computation"]


def _gradient_settings(experiment: Resolved, method: str) -> dict[str, Any]:
    """How a computed method takes gradients, and its options."""
    options, keys = experiment.methods[method], ("timesteps", "draws", "parameters")
    gradients = {key: experiment["features"][key] for key in keys}
    gradients |= {key: options[key] for key in _OPTIONS if key in options}
    if options.get("noise", "keyed") != "keyed":
        gradients["noise"] = options["noise"]
    return gradients
