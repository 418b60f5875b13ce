"""Check averages over models: the section ``ensembles``, and methods; yields problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.core.yaml_schema import Problem
from dasbench.registry import METHODS


def problems(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of a condition of averages over models."""
    for group, plan in experiment["ensembles"]["groups"].items():
        path = ("ensembles", "groups", group)
        if not experiment["subsets"]:
            yield path, "needs subset models, which rank averages; leave it out"
            continue
        for key, check in (("models", _models), ("timesteps", _timesteps)):
            for index, value in enumerate(plan[key]):
                yield from check(experiment, (*path, key, index), value, group)
    for name, overrides in experiment["methods"].items():
        entry = METHODS.get(overrides.get("like", name), {})
        if "group" in entry:
            yield from _method(experiment, ("methods", name), {**entry, **overrides})


def _method(
    experiment: Mapping[str, Any], path: tuple, options: Mapping[str, Any]
) -> Iterator[Problem]:
    if options["group"] == "tune" and not experiment["subsets"]:
        yield path, "averages over models of tuning subsets, and there are none; leave it out"
        return
    yield from _models(experiment, (*path, "models"), options["models"], options["group"])
    yield from _timesteps(experiment, (*path, "timesteps"), options["timesteps"], "")


def _models(
    experiment: Mapping[str, Any], path: tuple, models: int, group: str
) -> Iterator[Problem]:
    if group == "tune":
        most = experiment["subsets"]["tune"]["models"]
        if models % 2 or models > most or most % 2:
            yield (
                path,
                f"is {models}, expected an even number up to subsets.tune.models, {most}, which "
                "must be even: each half of these models is judged on the subsets of the other",
            )
        return
    most, where = 1, "the base model is one"
    if group == "full":
        most = experiment["full_models"]
        where = "the base model and removal.null_models, of the root of the parents"
    if models > most:
        yield path, f"is {models}, expected at most {most}: {where}"


def _timesteps(
    experiment: Mapping[str, Any], path: tuple, timesteps: int, _: str
) -> Iterator[Problem]:
    total = experiment["diffusion"]["timesteps"]
    if timesteps > total:
        yield path, f"is {timesteps}, expected at most diffusion.timesteps, {total}"
