"""Check the methods of an experiment: their names, options and references.

As in ``dasbench.experiments.config_checks``, each check yields (path, sentence) problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dasbench import model_families
from dasbench.core.yaml_schema import Problem, suggestion
from dasbench.registry import METHODS

# rows of the removal tables that are not methods; no method may have such a name
TABLE_WORDS = frozenset({"null"})
# options that make a method what it is, so that an experiment cannot change them
_FIXED = (
    "module",
    "journey",
    "inapplicable",
    "form",
    "members",
    "by_timestep",
    "computation",
    "group",
)
# paths that need no quoting in a rule's shell command
_PATH = re.compile(r"[A-Za-z0-9_./-]+")


def problems(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of a condition on methods that involves more than one key."""
    yield from _methods(experiment)
    yield from _applicable(experiment)
    yield from _floors(experiment)


def _methods(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    for name, overrides in experiment["methods"].items():
        path, like = ("methods", name), overrides.get("like")
        known = f"known: {', '.join(METHODS)}"
        if name in TABLE_WORDS:
            yield path, "is a word of the removal tables; expected another name"
        elif name in METHODS and like is not None:
            yield (*path, "like"), f"is {like}, but {name} is registered itself; use another name"
        elif like is None and name not in METHODS:
            yield (
                path,
                f"is not a registered method; {known}; a new name needs scores:, or like: and one "
                f"of these{suggestion(name, METHODS)}",
            )
        elif like is not None and like not in METHODS:
            hint = suggestion(like, METHODS)
            yield (*path, "like"), f"is {like}, which is not a registered method; {known}{hint}"
        else:
            yield from _options(path, METHODS[like or name], overrides)


def _options(
    path: tuple, entry: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Iterator[Problem]:
    """Check that overrides are options in the method's registry entry, and fit together."""
    allowed = [key for key in entry if key not in _FIXED]
    allowed += ["ensemble", "combine"] * ("leverage" in entry) + ["draws"] * ("computed" in entry)
    for key in overrides:
        if key not in allowed and key != "like":
            hint = suggestion(key, allowed)
            yield (
                (*path, key),
                f"is not an option of this method; allowed: {', '.join(allowed)}{hint}",
            )
    for key in (
        set(overrides.get("grid", {})) - set(entry.get("grid", {})) if "grid" in entry else ()
    ):
        yield (
            (*path, "grid", key),
            f"is no parameter of this method; expected {', '.join(entry['grid'])}",
        )
    features = overrides.get("features")
    if features is not None and isinstance(features, dict) != isinstance(
        entry.get("features"), dict
    ):
        yield (
            (*path, "features"),
            "must stay what it is in the registry (a word, or options of gradient features); "
            "start from another method with like:",
        )
    both = {**entry, **overrides}
    if both.get("kernel", "averaged") != "averaged" and both.get("denominator", "none") != "none":
        yield (
            (*path, "kernel"),
            f"is {both['kernel']}, which has no denominator {both['denominator']}; expected "
            "averaged with it, or denominator: none",
        )
    yield from _probes(path, entry, features)
    yield from _vector(path, entry, overrides)
    if overrides.get("ensemble") and both["kernel"] != "averaged":
        yield (*path, "ensemble"), f"needs kernel: averaged, got {both['kernel']}"
    if "scores" in entry and not overrides.get("scores"):
        yield (*path, "scores"), "is missing; expected {val: FILE.npy, gen: FILE.npy}"
    for kind, file in overrides.get("scores", {}).items():
        if not _PATH.fullmatch(file) or ".." in file.split("/"):
            yield (
                (*path, "scores", kind),
                f"is {file}, expected a path that is absolute or relative to the repository, "
                "without .., of letters, digits, _ . / and - only",
            )


def _probes(path: tuple, entry: Mapping[str, Any], features: Any) -> Iterator[Problem]:
    """Check that features have probes if, and only if, their readout is probe."""
    if not isinstance(features, dict) or not isinstance(entry.get("features"), dict):
        return
    merged = {**entry["features"], **features}
    probing, counts = merged["readout"] == "probe", merged.get("probes")
    if probing and not sum((counts or {}).values()):
        yield (
            (*path, "features", "probes"),
            "has no probe, expected such as {constant: 1, cosine: 2} with readout: probe",
        )
    if counts is not None and not probing:
        yield (
            (*path, "features", "readout"),
            f"is {merged['readout']}, expected probe beside probes; start from another method with "
            "like:",
        )


def _vector(
    path: tuple, entry: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Iterator[Problem]:
    """Check a vector residual: its own method family, isotropic probes, unnormalised gradients."""
    vector = entry.get("residual") == "vector"
    if "residual" in overrides and vector != (overrides["residual"] == "vector"):
        other = "das" if vector else "das_vector"
        yield (
            (*path, "residual"),
            f"is {overrides['residual']}, expected {entry.get('residual')}; start from another "
            f"method with like: {other}",
        )
    if not vector:
        return
    merged = {**entry["features"], **overrides.get("features", {})}
    other_probes = any(n for kind, n in merged["probes"].items() if kind != "rademacher")
    if merged["normalise"] or other_probes:
        yield (
            (*path, "features"),
            "are normalised or have probes of another kind, expected normalise: false and "
            "rademacher probes alone: a vector residual needs isotropic ones",
        )
    if overrides.get("kernel") == "per_t":
        yield (*path, "kernel"), "is per_t, expected averaged or pooled with a vector residual"


def _floors(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that the method ``floor`` has floors to select from."""
    entries = {n: METHODS.get(o.get("like", n), {}) for n, o in experiment["methods"].items()}
    embedded = bool(experiment["embedding"]["model"])
    floors = [
        e for e in entries.values() if "form" in e and (embedded or e["features"] == "pixels")
    ]
    selecting = [name for name, entry in entries.items() if "members" in entry]
    for name in selecting[1:]:
        yield ("methods", name), f"selects a floor as {selecting[0]} does; keep one of the two"
    if selecting and not floors:
        known = ", ".join(name for name, entry in METHODS.items() if "form" in entry)
        yield ("methods", selecting[0]), f"has no floors to select from; add some of {known}"


def _applicable(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Check the references of methods: checkpoints, dimensions, kinds of queries."""
    training = experiment["training"]
    kept = min(training["checkpoints"], training["epochs"])
    for name, overrides in experiment["methods"].items():
        entry = METHODS.get(overrides.get("like", name), {})
        checkpoints = overrides.get("checkpoints", "all")
        if checkpoints != "all" and max(checkpoints) >= kept:
            yield (
                ("methods", name, "checkpoints"),
                f"is {checkpoints}, expected numbers from 0 to {kept - 1}: training keeps {kept} "
                "models",
            )
        features = overrides.get("features", entry.get("features"))
        if isinstance(features, dict) and isinstance(entry.get("features"), dict):
            path = ("methods", name, "features")
            whole = {**experiment["features"], **entry["features"], **features}
            yield from _room_for_probes(path, whole)
            yield from group(path, whole, experiment["model"])
        condition = model_families.condition(experiment["model"])
        if entry.get("computed", "ensemble") != "ensemble" and condition:
            yield (
                ("methods", name),
                "differentiates an unconditional model, and the condition of this one is "
                f"{condition}; leave it out",
            )
        no_scores = features == "embeddings" and not experiment["embedding"]["model"]
        no_scores = no_scores or "gen" in entry.get("inapplicable", {})
        no_scores = no_scores or "gen" not in overrides.get("scores", {"gen": ""})
        if no_scores and name in experiment["removal"]["methods"]:
            yield (
                ("removal", "methods"),
                f"has {name}, which has no scores of generated images in this experiment",
            )


def group(path: tuple, features: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that the family's network has the group of parameters ``features.parameters``."""
    known = model_families.family(model)["parameters"]
    if features["parameters"] not in known:
        yield (
            (*path, "parameters"),
            f"is {features['parameters']}, expected one of {', '.join(known)}, which models of "
            f"family: {model['family']} have",
        )


def _room_for_probes(path: tuple, features: Mapping[str, Any]) -> Iterator[Problem]:
    m = sum(features.get("probes", {}).values())
    if m > features["dimensions"]:
        yield (
            (*path, "probes"),
            f"are {m}, expected at most the method's dimensions, {features['dimensions']}, which "
            "they share",
        )
