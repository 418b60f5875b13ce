"""Files and settings of the subset models' outputs on the queries.

A *measuring job* measures the outputs of the models of one or several shards.
"""

from __future__ import annotations

from typing import Any

from dasbench.core import query_kinds
from dasbench.experiments.files.models import seeds, shard_files, shards
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings, settings


def evaluation_files(experiment: Resolved) -> list[str]:
    """The outputs of the evaluation subsets."""
    names = query_kinds.output_files(query_kinds.of(experiment))
    return [f"{experiment.home}/outputs/eval/{name}" for name in names]


def tuning_files(experiment: Resolved) -> list[str]:
    """The losses of the tuning subsets."""
    return [
        f"{experiment.home}/outputs/tune/loss-{kind}.npy" for kind in query_kinds.of(experiment)
    ]


def output_grid(experiment: Resolved) -> dict[str, Any]:
    """Arguments of ``outputs.grid``, which computes the timesteps of the outputs."""
    outputs, total = experiment["outputs"], experiment["diffusion"]["timesteps"]
    return {"count": outputs["timesteps"], "total": total, "spacing": outputs["spacing"]}


def measuring_jobs(experiment: Resolved, use: str) -> dict[str, list[str]]:
    """Number of a measuring job, in the form of paths such as ``007`` -> the shards it measures."""
    every, size = shards(experiment, use), experiment["outputs"]["shards_per_job"]
    return {f"{i // size:03d}": every[i : i + size] for i in range(0, len(every), size)}


def measured_models(experiment: Resolved, use: str, seed: str, job: str) -> list[str]:
    """Every file of the models of one measuring job, without the masks."""
    return [
        file
        for shard in measuring_jobs(experiment, use)[job]
        for file in shard_files(experiment, use, seed, shard)[1:]
    ]


def measure_settings(experiment: Resolved, use: str, job: str) -> str:
    """The string of one measuring job."""
    return model_settings(
        experiment,
        models_per_job=experiment["subsets"]["models_per_job"],
        shards=measuring_jobs(experiment, use)[job],
        grid=output_grid(experiment),
    )


def measured_files(experiment: Resolved, use: str) -> list[str]:
    """The outputs of every measuring job of a use."""
    return [
        f"{experiment.folder}/outputs/{use}/seed-{seed}/job-{job}/{file}"
        for seed in seeds(experiment, use)
        for job in measuring_jobs(experiment, use)
        for file in query_kinds.output_files(query_kinds.of(experiment))
    ]


def gather_settings(experiment: Resolved, use: str) -> str:
    """The string of the job that joins outputs: the numbers of shards, jobs and seeds."""
    return settings(
        experiment,
        shards=len(shards(experiment, use)),
        jobs=len(measuring_jobs(experiment, use)),
        seeds=len(seeds(experiment, use)),
        kinds=query_kinds.of(experiment),
    )
