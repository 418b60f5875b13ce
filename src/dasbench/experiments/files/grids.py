"""Files and settings of the study of timestep grids.

The study measures how outputs and LDS change if a subset model is measured at fewer timesteps.
"""

from __future__ import annotations

from dasbench.core import query_kinds
from dasbench.experiments.files.models import seeds, shard_files, shards, trains_subsets
from dasbench.experiments.files.pages import methods_by_kind
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings, settings

GRID_TABLES = ("outputs", "lds")


def has_grids(experiment: Resolved) -> bool:
    """Whether the study is possible: the experiment trains subset models of its own."""
    return trains_subsets(experiment)


def grid_models(experiment: Resolved, seed: str, shard: str) -> list[str]:
    """The models of one evaluation shard, without the masks."""
    return shard_files(experiment, "eval", seed, shard)[1:]


def grid_settings(experiment: Resolved) -> str:
    """The string of the measurement at all timesteps."""
    return model_settings(
        experiment,
        models_per_job=experiment["subsets"]["models_per_job"],
        timesteps=experiment["diffusion"]["timesteps"],
    )


def grid_files(experiment: Resolved) -> list[str]:
    """The measured outputs of every evaluation shard."""
    return [
        f"{experiment.folder}/grids/seed-{seed}/shard-{shard}/{kind}.npy"
        for seed in seeds(experiment, "eval")
        for shard in shards(experiment, "eval")
        for kind in query_kinds.of(experiment)
    ]


def grid_tables(experiment: Resolved) -> list[str]:
    """The tables of the study."""
    return [f"{experiment.folder}/grids/{table}.csv" for table in GRID_TABLES]


def grid_comparison_settings(experiment: Resolved) -> str:
    """The string of the comparison of grids."""
    return settings(
        experiment,
        experiment=experiment["name"],
        methods=methods_by_kind(experiment),
        shards=shards(experiment, "eval"),
        seeds=list(seeds(experiment, "eval")),
        **experiment["lds"],
    )
