"""Check the section ``dampings`` of an experiment; yields (path, sentence) problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.core.yaml_schema import Problem, suggestion
from dasbench.experiments import ablation_design
from dasbench.registry import METHODS

_TWINS = ("dampings", "twins")


def problems(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of a condition of the study of dampings."""
    if not experiment["dampings"]["twins"]:
        return
    if not experiment["subsets"]:
        yield _TWINS, "needs subset models, which judge dampings; leave it out"
    if not experiment["queries"]["val"]:
        yield _TWINS, "needs held-out images, and queries.val is 0; leave it out"
    for name, twin in experiment["dampings"]["twins"].items():
        yield from _pair(experiment["methods"], name, twin)
    yield from _finetuned(experiment["dampings"]["finetuned"], experiment["data"]["train"])


def _pair(methods: Mapping[str, Any], name: str, twin: str) -> Iterator[Problem]:
    path = (*_TWINS, name)
    for one in (name, twin):
        if one not in methods:
            known = f"{', '.join(methods)}{suggestion(one, methods)}"
            yield path, f"names {one}, expected one of this experiment's methods: {known}"
            return
    first, other = (_options(methods, one) for one in (name, twin))
    if not ablation_design.timed(first):
        yield (
            path,
            "has a score of another form; expected one set of features, and the kernel averaged "
            "or per_t",
        )
    elif _without_draw(first) != _without_draw(other) or first == other:
        yield (
            path,
            f"is {twin}, expected the same options but for features.draw, as in "
            f"{{like: {name}, features: {{draw: 1}}}}",
        )


def _options(methods: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Options of a method, its features without those that all methods share."""
    overrides = {key: value for key, value in methods[name].items() if key != "like"}
    entry = METHODS.get(methods[name].get("like", name), {})
    features = [f for f in (entry.get("features"), overrides.get("features")) if f]
    merged = {key: v for f in features if isinstance(f, Mapping) for key, v in f.items()}
    return {**entry, **overrides, "features": merged}


def _without_draw(options: Mapping[str, Any]) -> dict[str, Any]:
    features = {key: v for key, v in options["features"].items() if key != "draw"}
    return {**options, "features": features}


def _finetuned(options: Mapping[str, Any], train: int) -> Iterator[Problem]:
    path, size = ("dampings", "finetuned"), options["models_per_job"]
    if options["models"] % size:
        yield (
            (*path, "models"),
            f"is {options['models']}, expected a multiple of dampings.finetuned.models_per_job, "
            f"{size}",
        )
    if not 0 < round(options["fraction"] * train) < train:
        yield (
            (*path, "fraction"),
            f"is {options['fraction']}, expected a share that keeps at least one and drops at "
            f"least one of the {train} training images",
        )
