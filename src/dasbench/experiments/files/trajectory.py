"""Files and settings of the study of sampling paths: subset models along the queries' own paths."""

from __future__ import annotations

from dasbench.core.query_kinds import TARGETS
from dasbench.experiments import figure_table
from dasbench.experiments.files.evaluation import floor
from dasbench.experiments.files.models import member_files, seeds, shards
from dasbench.experiments.files.pages import methods_by_kind
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings, settings

TABLES = ("lds", "places")


def has_trajectory(experiment: Resolved) -> bool:
    """Whether there is such a study; not with ``trajectory: {places: 0}``, the default."""
    return bool(experiment["trajectory"]["places"])


def shard_models(experiment: Resolved, seed: str, shard: str) -> list[str]:
    """The files of the models of an evaluation shard, which a child shares with its parent."""
    return [
        file
        for number in range(experiment["subsets"]["models_per_job"])
        for file in member_files(
            experiment, f"{shard_folder(experiment, seed, shard)}/{number:02d}"
        )
    ]


def shard_folder(experiment: Resolved, seed: str, shard: str) -> str:
    """Folder of an evaluation shard."""
    return f"{experiment.home}/models/eval/seed-{seed}/shard-{shard}"


def measure_settings(experiment: Resolved) -> str:
    """The string of the measurement of a shard."""
    queries = experiment["queries"]
    return model_settings(
        experiment,
        models_per_job=experiment["subsets"]["models_per_job"],
        sampling_steps=queries["sampling_steps"],
        guidance=queries["guidance"],
        places=experiment["trajectory"]["places"],
    )


def measured_files(experiment: Resolved) -> list[str]:
    """The outputs of every shard."""
    return [
        f"{experiment.folder}/trajectory/seed-{seed}/shard-{shard}.npy"
        for seed in seeds(experiment, "eval")
        for shard in shards(experiment, "eval")
    ]


def trajectory_inputs(experiment: Resolved) -> list[str]:
    """Everything that the tables are made of."""
    methods = methods_by_kind(experiment)["gen"]
    scores = [f"{experiment.folder}/scores/{method}/gen.npy" for method in methods]
    outputs = [f"{experiment.home}/outputs/eval/{target}-gen.npy" for target in TARGETS]
    home = [f"{experiment.home}/masks/eval.npy", f"{experiment.home}/queries/uses.json"]
    return measured_files(experiment) + scores + outputs + home


def trajectory_settings(experiment: Resolved) -> str:
    """The string of the tables."""
    return settings(
        experiment,
        experiment=experiment["name"],
        methods=methods_by_kind(experiment)["gen"],
        floor=floor(experiment),
        shards=shards(experiment, "eval"),
        seeds=list(seeds(experiment, "eval")),
        **experiment["lds"],
    )


def trajectory_tables(experiment: Resolved) -> list[str]:
    """The tables of the study, and its figure."""
    tables = [f"{experiment.folder}/trajectory/{table}.csv" for table in TABLES]
    formats = figure_table.FORMATS
    return tables + [f"{experiment.folder}/figures/trajectory.{suffix}" for suffix in formats]
