"""Files and settings of the study of dampings: fine-tuned models, curves, and rules.

A *twin* is a method with another draw of noise and projection than the method that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.core import query_kinds
from dasbench.errors import UserError
from dasbench.experiments import config, figure_table, residual_sets
from dasbench.experiments.files import inherited
from dasbench.experiments.files.models import member_files, train_settings
from dasbench.experiments.files.outputs import output_grid
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings, settings

TABLES = ("curve", "rules", "overall")
CURVE_FILES = ("curve.csv", "losses.npy")
FIGURE = "damping-rules"


def has_dampings(experiment: Resolved) -> bool:
    """Whether there is a study of dampings; not with ``dampings: {twins: {}}``, the default."""
    return bool(experiment["dampings"]["twins"])


def twin(experiment: Resolved, method: str) -> str:
    """The twin of a method."""
    return experiment["dampings"]["twins"][method]


def compared_methods(experiments: Mapping[str, Resolved]) -> list[str]:
    """Methods of the study in any experiment."""
    return sorted({name for e in experiments.values() for name in e["dampings"]["twins"]})


def shards(experiment: Resolved) -> list[str]:
    """Numbers of the shards of fine-tuned models, in the form of paths, such as ``007``."""
    options = experiment["dampings"]["finetuned"]
    return [f"{i:03d}" for i in range(options["models"] // options["models_per_job"])]


def shard_files(experiment: Resolved, shard: str = "{shard}") -> list[str]:
    """The masks and models of a shard; by default a pattern with the wildcard shard."""
    folder = f"{experiment.folder}/models/finetuned/shard-{shard}"
    files = [f"{folder}/masks.npy"]
    for number in range(experiment["dampings"]["finetuned"]["models_per_job"]):
        files += member_files(experiment, f"{folder}/{number:02d}")
    return files


def finetuned_files(experiment: Resolved) -> list[str]:
    """The masks and models of all shards."""
    return [file for shard in shards(experiment) for file in shard_files(experiment, shard)]


def finetuned_masks(experiment: Resolved) -> list[str]:
    """The masks of all shards."""
    return [shard_files(experiment, shard)[0] for shard in shards(experiment)]


def finetune_settings(experiment: Resolved) -> str:
    """The string of the fine-tuning, the same for every shard."""
    options = dict(experiment["dampings"]["finetuned"])
    del options["models"]
    recipe = {key: options.pop(key) for key in ("epochs", "learning_rate")}
    whole = Resolved(experiment | {"training": experiment["training"] | recipe})
    return train_settings(whole, **options)


def measure_settings(experiment: Resolved) -> str:
    """The string of the measurement of the fine-tuned models."""
    return model_settings(
        experiment,
        models_per_job=experiment["dampings"]["finetuned"]["models_per_job"],
        shards=shards(experiment),
        grid=output_grid(experiment),
    )


def measured_files(experiment: Resolved) -> list[str]:
    """The losses of the fine-tuned models on the queries."""
    folder = f"{experiment.folder}/dampings/outputs"
    return [f"{folder}/loss-{kind}.npy" for kind in query_kinds.of(experiment)]


def residual_file(experiment: Resolved, method: str) -> str:
    """The training residuals at the timesteps of a method."""
    options = residual_sets.damping_options(experiment)[method]
    name = residual_sets.name_of(options, experiment)
    return inherited.path(experiment, f"{experiment.folder}/residuals/{name}.npy")


def curve_settings(experiment: Resolved, method: str) -> str:
    """The string of a method's curve."""
    return settings(
        experiment,
        experiment=experiment["name"],
        method=method,
        options=_options(experiment, method),
        twin=_options(experiment, twin(experiment, method)),
        kinds=config.kinds(experiment.methods[method]),
        shards=shards(experiment),
        damping=experiment["damping"],
        **experiment["lds"],
    )


def _options(experiment: Resolved, method: str) -> dict[str, Any]:
    """Options of a method that change its scores."""
    return {key: v for key, v in experiment.methods[method].items() if key != "transform"}


def joined(experiment: Resolved, experiments: Mapping[str, Resolved]) -> dict[str, Resolved]:
    """The experiment, and those of ``dampings.sets``, by name.

    Raises:
        UserError: If one of them has no such study.
    """
    for name in experiment["dampings"]["sets"]:
        if name not in experiments or not has_dampings(experiments[name]):
            raise UserError(
                f"config/experiments/{experiment['name']}.yaml: dampings.sets has {name}, whose "
                "file has no section dampings with twins; give it one, or leave the name out"
            )
    names = [experiment["name"], *experiment["dampings"]["sets"]]
    return {name: experiments[name] for name in names}


def summary_inputs(experiment: Resolved, experiments: Mapping[str, Resolved]) -> list[str]:
    """The curves of every method of these experiments."""
    return [
        f"{e.folder}/dampings/methods/{method}/{file}"
        for e in joined(experiment, experiments).values()
        for method in e["dampings"]["twins"]
        for file in CURVE_FILES
    ]


def summary_settings(experiment: Resolved, experiments: Mapping[str, Resolved]) -> str:
    """The string of the tables: which methods, and their own transforms."""
    sets = joined(experiment, experiments)
    every = {m: e.methods[m] for e in sets.values() for m in e["dampings"]["twins"]}
    return settings(
        experiment,
        sets={name: list(e["dampings"]["twins"]) for name, e in sets.items()},
        own={method: options["transform"] for method, options in every.items()},
        fixed=experiment["dampings"]["fixed"],
        **experiment["lds"],
    )


def rule_files(experiment: Resolved) -> list[str]:
    """The tables of the study and its figure, if there is one."""
    if not has_dampings(experiment):
        return []
    files = [f"dampings/{table}.csv" for table in TABLES]
    files += [f"figures/{FIGURE}.{form}" for form in figure_table.FORMATS]
    return [f"{experiment.folder}/{file}" for file in files]
