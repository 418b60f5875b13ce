"""Files and settings of the study of groups: models without all images of one label.

A *group* has a number in the form of paths, such as ``007``; the plan says which label it stands
for. ``whole`` is the model of all images, ``null`` another one with another seed. One training job
makes the models of a group for all seeds, and one makes those of ``whole`` and ``null``. The seeds
differ from that of the base model: 1 … S for groups and ``whole``, S + 1 … 2 S for ``null``.
"""

from __future__ import annotations

from dasbench.core import query_kinds
from dasbench.experiments.files import shared_scores
from dasbench.experiments.files.evaluation import floor
from dasbench.experiments.files.models import member_files, train_settings
from dasbench.experiments.files.outputs import output_grid
from dasbench.experiments.files.pages import methods_by_kind
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings, settings

WHOLE, NULL = "whole", "null"
TABLES = ("summary.csv", "comparisons.csv", "noise.csv", "general.csv", "per_query.parquet")


def has_groups(experiment: Resolved) -> bool:
    """Whether there is a study of groups; not with ``groups: {by: null}``, the default."""
    return bool(experiment["groups"]["by"])


def seeds(experiment: Resolved) -> range:
    """Numbers of the seeds: 0 … S - 1."""
    return range(experiment["groups"]["seeds"])


def names(experiment: Resolved) -> list[str]:
    """Numbers of the groups."""
    return [f"{i:03d}" for i in range(experiment["groups"]["count"])]


def families(experiment: Resolved) -> dict[str, list[str]]:
    """Family -> the groups of its training jobs; all of them train equally many models."""
    return {"whole": [WHOLE], "rest": names(experiment)}


def _trained(group: str) -> tuple[str, ...]:
    return (WHOLE, NULL) if group == WHOLE else (group,)


def members(experiment: Resolved, group: str) -> list[str]:
    """Folders of the models of a training job, in the folder of the study's models."""
    return [f"seed-{s}/shard-{one}/00" for one in _trained(group) for s in seeds(experiment)]


def _folder(experiment: Resolved) -> str:
    return f"{experiment.folder}/models/groups"


def trained_files(experiment: Resolved, family: str) -> list[str]:
    """The files of the models of a training job: for groups, a pattern of the wildcard group."""
    group = WHOLE if family == "whole" else "{group}"
    folders = [f"{_folder(experiment)}/{member}" for member in members(experiment, group)]
    return [file for folder in folders for file in member_files(experiment, folder)]


def training_settings(experiment: Resolved, group: str) -> str:
    """The string of a training job."""
    return train_settings(experiment, members=members(experiment, group), other_seeds=True)


def plan_files(experiment: Resolved) -> list[str]:
    """The labels of the groups, and what every training job trains on."""
    plan = f"{experiment.folder}/groups/plan"
    masks = [f"{plan}/{group}/masks.npy" for group in (WHOLE, *names(experiment))]
    return [f"{plan}/labels.npy", *masks]


def plan_settings(experiment: Resolved) -> str:
    """The string of the choice of the groups."""
    return settings(experiment, groups=names(experiment), seeds=len(seeds(experiment)))


def measured_groups(experiment: Resolved) -> list[str]:
    """Rows of the outputs of one seed."""
    return [WHOLE, NULL, *names(experiment)]


def models_of_seed(experiment: Resolved, seed: str) -> list[str]:
    """The files of the models of one seed, those that are compared with each other."""
    folders = [
        f"{_folder(experiment)}/seed-{seed}/shard-{group}/00"
        for group in measured_groups(experiment)
    ]
    return [file for folder in folders for file in member_files(experiment, folder)]


def measured_files(experiment: Resolved, seed: object = "{seed}") -> list[str]:
    """The outputs of the models of one seed; by default a pattern of the wildcard seed."""
    kinds = query_kinds.of(experiment)
    folder = f"{experiment.folder}/groups/outputs/seed-{seed}"
    return [f"{folder}/{name}" for name in query_kinds.output_files(kinds)]


def measure_settings(experiment: Resolved) -> str:
    """The string of the measurement of one seed."""
    return model_settings(
        experiment,
        models_per_job=1,
        shards=measured_groups(experiment),
        grid=output_grid(experiment),
    )


def judged_scores(experiment: Resolved) -> dict[str, dict[str, str]]:
    """Kind of query -> method -> its scores, of a parent where the settings are equal."""
    return {
        kind: {method: shared_scores.score_file(experiment, method, kind) for method in methods}
        for kind, methods in methods_by_kind(experiment).items()
    }


def summary_inputs(experiment: Resolved) -> list[str]:
    """Everything that the tables are made of, besides examples and queries."""
    outputs = [file for seed in seeds(experiment) for file in measured_files(experiment, seed)]
    scores = [file for files in judged_scores(experiment).values() for file in files.values()]
    return [plan_files(experiment)[0], *outputs, *scores]


def summary_settings(experiment: Resolved) -> str:
    """The string of the tables."""
    return settings(
        experiment,
        scores=judged_scores(experiment),
        floor=floor(experiment),
        seeds=len(seeds(experiment)),
        comparisons=[p for p in experiment["comparisons"] if "groups" in p.get("truth", ())],
        **experiment["lds"],
    )


def tables(experiment: Resolved) -> list[str]:
    """The tables of the study, if there is one."""
    return [f"{experiment.folder}/groups/{name}" for name in TABLES * has_groups(experiment)]


def report_flag(experiment: Resolved) -> str:
    """The folder of the tables as a command line option, or nothing."""
    return f"--groups {experiment.folder}/groups" if has_groups(experiment) else ""
