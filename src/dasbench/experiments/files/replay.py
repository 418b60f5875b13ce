"""Files and settings of the study of one run: exact influence, and replays on random masks.

A *run* of the study is one group of replays: ``whole`` has the replay on all examples alone;
``kept-<alpha>`` has the replays on masks that keep a share alpha; ``half-<alpha>`` repeats the
first of these with weight 1/2 for the images that the mask leaves out. A *family* of runs shares
one training rule. A *part* is a group of queries, whose exact influence one job computes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dasbench.core import query_kinds
from dasbench.core.blocks import blocks
from dasbench.experiments.files.evaluation import floor
from dasbench.experiments.files.models import member_files, train_settings
from dasbench.experiments.files.outputs import output_grid
from dasbench.experiments.files.pages import methods_by_kind
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings, settings

WHOLE = "whole"
TABLES = ("agreement", "lds", "linearity")


class Run(NamedTuple):
    """One group of replays.

    Attributes:
        fraction: Share alpha of the examples with weight 1.
        left_out: Weight of the others.
        models: Number of replays.
        models_per_job: Number of replays in a shard.
    """

    fraction: float
    left_out: float
    models: int
    models_per_job: int


def has_replay(experiment: Resolved) -> bool:
    """Whether there is a study of one run; not with ``replay: {fractions: []}``, the default."""
    return bool(experiment["replay"]["fractions"])


def runs(experiment: Resolved) -> dict[str, Run]:
    """Name -> run."""
    replay = experiment["replay"]
    size, named = replay["models_per_job"], {WHOLE: Run(1, 0, 1, 1)}
    for fraction, models in zip(replay["fractions"], replay["models"], strict=True):
        named[f"kept-{fraction:g}"] = Run(fraction, 0, models, size)
        named[f"half-{fraction:g}"] = Run(fraction, 0.5, replay["halves"], size)
    return {name: run for name, run in named.items() if run.models}


def run_families(experiment: Resolved) -> dict[str, list[str]]:
    """Family -> its runs; the shards of a family have equal numbers of replays."""
    return {"whole": [WHOLE], "masks": [name for name in runs(experiment) if name != WHOLE]}


def shards(experiment: Resolved, run: str) -> list[str]:
    """Numbers of the shards of a run, in the form of paths, such as ``007``."""
    one = runs(experiment)[run]
    return [f"{i:03d}" for i in range(one.models // one.models_per_job)]


def shard_files(experiment: Resolved, run: str, shard: str) -> list[str]:
    """The masks and models of a shard of a run."""
    return _shard_files(experiment, runs(experiment)[run].models_per_job, run, shard)


def family_files(experiment: Resolved, family: str) -> list[str]:
    """The files of any shard of a family: a pattern of the wildcards run and shard."""
    first = run_families(experiment)[family][0]
    size = runs(experiment)[first].models_per_job
    return _shard_files(experiment, size, "{run}", "{shard}")


def _shard_files(experiment: Resolved, models: int, run: str, shard: str) -> list[str]:
    folder = f"{experiment.folder}/models/replay/{run}/shard-{shard}"
    files = [f"{folder}/masks.npy"]
    for number in range(models):
        files += member_files(experiment, f"{folder}/{number:02d}")
    return files


def compared_files(experiment: Resolved, run: str) -> list[str]:
    """The models of a run and of ``whole``, with their masks."""
    return [
        file
        for name in dict.fromkeys((WHOLE, run))
        for shard in shards(experiment, name)
        for file in shard_files(experiment, name, shard)
    ]


def replay_settings(experiment: Resolved, run: str) -> str:
    """The string of the training of a run, the same for every shard."""
    one = runs(experiment)[run]
    return train_settings(
        experiment,
        fraction=one.fraction,
        left_out=one.left_out,
        models_per_job=one.models_per_job,
    )


def measured_files(experiment: Resolved, run: str) -> list[str]:
    """The outputs of a run on all queries."""
    names = query_kinds.output_files(query_kinds.of(experiment))
    return [f"{experiment.folder}/replay/outputs/{run}/{name}" for name in names]


def measure_settings(experiment: Resolved, run: str) -> str:
    """The string of the measurement of a run."""
    return model_settings(
        experiment,
        models_per_job=runs(experiment)[run].models_per_job,
        shards=shards(experiment, run),
        grid=output_grid(experiment),
    )


def parts(experiment: Resolved) -> dict[str, tuple[str, list[int]]]:
    """Name of a part -> its kind, and its queries as positions in ``queries/<kind>.npy``."""
    replay, first = experiment["replay"], experiment["queries"]["tuning"]
    return {
        f"{kind}-{number:03d}": (kind, list(range(first + rows.start, first + rows.stop)))
        for kind in query_kinds.of(experiment)
        for number, rows in enumerate(blocks(replay["queries"], replay["queries_per_job"]))
    }


def exact_files(experiment: Resolved) -> list[str]:
    """The exact influence on the queries of every part."""
    return [f"{experiment.folder}/replay/exact/{part}.npy" for part in parts(experiment)]


def exact_settings(experiment: Resolved, part: str) -> str:
    """The string of the exact influence on a part's queries."""
    kind, positions = parts(experiment)[part]
    grid = output_grid(experiment)
    return train_settings(experiment, kind=kind, positions=positions, grid=grid)


def judged_scores(experiment: Resolved) -> list[str]:
    """The scores of every method."""
    return [
        f"{experiment.folder}/scores/{method}/{kind}.npy"
        for kind, methods in methods_by_kind(experiment).items()
        for method in methods
    ]


def evaluation_inputs(experiment: Resolved) -> list[str]:
    """Everything that the tables are made of."""
    masks = [
        shard_files(experiment, run, shard)[0]
        for run in runs(experiment)
        for shard in shards(experiment, run)
    ]
    outputs = [file for run in runs(experiment) for file in measured_files(experiment, run)]
    return masks + outputs + exact_files(experiment) + judged_scores(experiment)


def evaluation_settings(experiment: Resolved) -> str:
    """The string of the tables."""
    groups: dict[str, Any] = {
        name: {**run._asdict(), "shards": shards(experiment, name)}
        for name, run in runs(experiment).items()
    }
    return settings(
        experiment,
        experiment=experiment["name"],
        methods=methods_by_kind(experiment),
        floor=floor(experiment),
        runs=groups,
        parts=parts(experiment),
        **experiment["lds"],
    )


def replay_tables(experiment: Resolved) -> list[str]:
    """The tables of the study, if there is one."""
    return [f"{experiment.folder}/replay/{table}.csv" for table in TABLES * has_replay(experiment)]
