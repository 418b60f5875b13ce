"""Files and settings of scores averaged over models, and of the study that compares them.

A *group* is a set of models that are averaged: ``base`` (the base model alone), ``full`` (it and
the null models of the root's removal study, trained on all images with other seeds) or ``tune``
(the models of the tuning subsets, seed 0). Its *members* have names such as ``base``, ``full-02``
and ``tune-007``. A *part* of a method is a set of members whose contributions one job adds up; all
come from one half of the tuning subsets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dasbench.core import query_kinds
from dasbench.core.blocks import blocks
from dasbench.experiments.config import canonical
from dasbench.experiments.files.models import base_files, member_files, seeds
from dasbench.experiments.files.outputs import evaluation_files, tuning_files
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import drawn_settings, settings
from dasbench.registry import METHODS

STARTS = ("floor", "das_stepwise", "das_ensemble", "das_ensemble_full")
TUNING_TABLE, BOUND_TABLE = "tuning.csv", "additive.csv"


def has_ensembles(experiment: Resolved) -> bool:
    """Whether there is a study of averages; not with ``ensembles: {groups: {}}``, the default."""
    return bool(experiment["ensembles"]["groups"])


def group_members(experiment: Resolved, group: str) -> dict[str, str]:
    """Name -> folder of every model of a group, in order."""
    base, home = {"base": experiment.base}, f"{experiment.home}/models"
    if group == "base":
        return base
    if group == "full":
        null = {
            f"full-{number + 1:02d}": f"{home}/removal/null/k-0/set-{number}"
            for number in range(experiment["full_models"] - 1)
        }
        return base | null
    size, seed = experiment["subsets"]["models_per_job"], seeds(experiment, "tune")[0]
    return {
        f"tune-{m:03d}": f"{home}/tune/seed-{seed}/shard-{m // size:03d}/{m % size:02d}"
        for m in range(experiment["subsets"]["tune"]["models"])
    }


def _models(experiment: Resolved) -> dict[str, str]:
    """Name -> folder of every model of any group."""
    groups = ["base", "full", *["tune"] * experiment.is_judged]
    return {n: f for group in groups for n, f in group_members(experiment, group).items()}


def model_folders(experiment: Resolved, names: Iterable[str]) -> list[str]:
    """Folders of some members."""
    every = _models(experiment)
    return [every[name] for name in names]


def model_files(experiment: Resolved, names: Iterable[str]) -> list[str]:
    """The files of some members."""
    return [
        file
        for name, folder in zip(names, model_folders(experiment, names), strict=True)
        for file in (base_files if name == "base" else member_files)(experiment, folder)
    ]


def _features(experiment: Resolved, timesteps: int) -> dict[str, Any]:
    """Settings of the features of every member: those of ``das_stepwise`` at T timesteps."""
    recipe = METHODS["das_stepwise"]["features"]
    return {**experiment["features"], **recipe, "timesteps": timesteps}


# the study


def studied_members(experiment: Resolved) -> dict[str, list[int]]:
    """Name of a member -> ascending T of all groups that have it."""
    counts: dict[str, set[int]] = {}
    for group, plan in experiment["ensembles"]["groups"].items():
        for name in _used(experiment, group, max(plan["models"])):
            counts.setdefault(name, set()).update(plan["timesteps"])
    return {name: sorted(of_one) for name, of_one in counts.items()}


def _used(experiment: Resolved, group: str, models: int) -> list[str]:
    """Members of an ensemble of S: the first S or, of ``tune``, the first S / 2 of each half."""
    names = list(group_members(experiment, group))
    if group != "tune":
        return names[:models]
    half = len(names) // 2
    return names[: models // 2] + names[half : half + models // 2]


def explored_names(experiment: Resolved) -> list[str]:
    """Names of the files of one member of the study."""
    return [
        f"{what}-{kind}.npy"
        for what in ("predictions", "means")
        for kind in query_kinds.of(experiment)
    ]


def explored_files(experiment: Resolved) -> list[str]:
    """The files of every member of the study."""
    folder = f"{experiment.folder}/ensembles/members"
    names = explored_names(experiment)
    return [f"{folder}/{member}/{n}" for member in studied_members(experiment) for n in names]


def explored_models(experiment: Resolved, member: str) -> list[str]:
    """The files of one member's model."""
    return model_files(experiment, [member])


def explored_model(experiment: Resolved, member: str) -> str:
    """Folder of one member's model."""
    (folder,) = model_folders(experiment, [member])
    return folder


def explore_settings(experiment: Resolved, member: str) -> str:
    """The string of a member's job."""
    counts = studied_members(experiment)[member]
    return drawn_settings(
        experiment,
        features=_features(experiment, max(counts)),
        grids=counts,
        functions=experiment["ensembles"]["functions"],
        damping=experiment["damping"],
    )


def ranking_inputs(experiment: Resolved) -> list[str]:
    """Everything that ranks ensembles: nothing of the evaluation subsets."""
    return explored_files(experiment) + tuning_files(experiment)


def ranking_settings(experiment: Resolved) -> str:
    """The string of the ranking."""
    plan = experiment["ensembles"]
    groups = {
        group: {
            "members": list(group_members(experiment, group)),
            **{key: sorted(of_group[key]) for key in ("models", "timesteps")},
        }
        for group, of_group in plan["groups"].items()
    }
    return settings(
        experiment,
        groups=groups,
        grids=studied_members(experiment),
        functions=plan["functions"],
        orders=plan["orders"],
        damping=experiment["damping"],
        kinds=query_kinds.of(experiment),
        **experiment["lds"],
    )


def _starts(experiment: Resolved) -> list[str]:
    """Methods from whose scores the additive bound starts."""
    return [name for name in experiment.methods if name in STARTS]


def bound_inputs(experiment: Resolved) -> list[str]:
    """Outputs of the evaluation subsets, which the additive bound is fitted on; its starts."""
    scores = [
        f"{experiment.folder}/scores/{name}/{kind}.npy"
        for name in _starts(experiment)
        for kind in query_kinds.of(experiment)
    ]
    return evaluation_files(experiment) + scores


def bound_settings(experiment: Resolved) -> str:
    """The string of the additive bound."""
    kinds, starts = query_kinds.of(experiment), _starts(experiment)
    return settings(experiment, kinds=kinds, starts=starts, **experiment["lds"])


def study_files(experiment: Resolved, table: str) -> list[str]:
    """A table of the study, if there is one."""
    return [f"{experiment.folder}/ensembles/{table}"] * has_ensembles(experiment)


# the methods


def method_parts(experiment: Resolved, method: str) -> dict[str, list[str]]:
    """Number of a part, such as ``1-000`` -> its members; the first digit is the half."""
    options = experiment.methods[method]
    used, halves = _used(experiment, options["group"], options["models"]), 1
    if options["group"] == "tune":
        halves = 2
    size = len(used) // halves
    each = [used[half * size : (half + 1) * size] for half in range(halves)]
    per_job = experiment["subsets"]["models_per_job"] if experiment.is_judged else 1
    return {
        f"{half}-{number:03d}": members[rows]
        for half, members in enumerate(each)
        for number, rows in enumerate(blocks(size, per_job))
    }


def part_files(experiment: Resolved, method: str) -> list[str]:
    """The contributions of every part of a method."""
    folder = f"{experiment.folder}/network/{method}/parts"
    return [
        f"{folder}/{part}/{kind}.npy"
        for part in method_parts(experiment, method)
        for kind in query_kinds.of(experiment)
    ]


def part_models(experiment: Resolved, method: str, part: str) -> list[str]:
    """The files of the models of a part."""
    return model_files(experiment, method_parts(experiment, method)[part])


def part_folders(experiment: Resolved, method: str, part: str) -> list[str]:
    """Folders of the models of a part."""
    return model_folders(experiment, method_parts(experiment, method)[part])


def part_settings(experiment: Resolved, method: str) -> str:
    """The string of the job of any part."""
    options = experiment.methods[method]
    return drawn_settings(
        experiment,
        features=_features(experiment, options["timesteps"]),
        function=options["function"],
        order=options["order"],
        damping=experiment["damping"],
    )


def choosing_files(experiment: Resolved, method: str) -> list[str]:
    """Tuning masks, outputs and queries, for a method whose damping its own rule chooses."""
    if not experiment.methods[method].get("tuning"):
        return []
    home = experiment.home
    return [f"{home}/masks/tune.npy", f"{home}/queries/uses.json", *tuning_files(experiment)]


def choosing_flag(experiment: Resolved, method: str) -> str:
    """The folder of these files as a command line option, or nothing."""
    return f"--home {experiment.home}" if choosing_files(experiment, method) else ""


def method_settings(experiment: Resolved, method: str) -> str:
    """The string of the job that joins the parts of a method."""
    options = experiment.methods[method]
    parts = method_parts(experiment, method)
    return settings(
        experiment,
        parts={part: len(members) for part, members in parts.items()},
        function=options["function"],
        order=options["order"],
        damping=experiment["damping"],
        kinds=query_kinds.of(experiment),
    )


def whole_settings(experiment: Resolved, method: str) -> str:
    """The strings of all jobs of a method, and the folders of its models."""
    parts = method_parts(experiment, method)
    folders = [part_folders(experiment, method, part) for part in parts]
    strings = [part_settings(experiment, method), method_settings(experiment, method)]
    return canonical([*strings, folders, choosing_files(experiment, method)])
