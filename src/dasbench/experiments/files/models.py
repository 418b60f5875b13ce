"""Files and settings of models, and the input files of every script that runs a model.

A *use* is a purpose of subset models: ``tune`` for choices, ``eval`` for reported results. A
*shard* is the set of subset models that one job trains.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dasbench.core import query_kinds
from dasbench.experiments import config
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings

USES = ("tune", "eval")


def trains_base(experiment: Resolved) -> bool:
    """Whether an experiment without parent trains its base model, and does not import it."""
    return experiment.is_root and not experiment["base"]


def imports_base(experiment: Resolved) -> bool:
    """Whether an experiment without parent imports the user's pipeline as its base model."""
    return experiment.is_root and bool(experiment["base"])


def trains_subsets(experiment: Resolved) -> bool:
    """Whether the experiment trains subset models; a child uses those of its parent."""
    return experiment.is_root and experiment.is_judged


def encodes_latents(experiment: Resolved) -> bool:
    """Whether the experiment encodes images for models of latents; a child uses its parent's."""
    return experiment.is_root and experiment.family["latents"]


def shared(experiment: Resolved, paths: Sequence[str]) -> str | list[str]:
    """Files of the experiment or, for a child, of its parent.

    Returns:
        A list of paths, or a string for one path.
    """
    files = [f"{experiment.home}/{path}" for path in paths]
    return files if len(files) > 1 else files[0]


def base_files(experiment: Resolved, folder: str | None = None) -> list[str]:
    """The files of a base model; without ``folder``, of the root experiment's base model."""
    folder = folder or f"{experiment.home}/models/base"
    return [f"{folder}/{name}" for name in experiment.family["files"]]


def attributed_base(experiment: Resolved) -> str:
    """Folder of the base model that is attributed."""
    return experiment.base


def attributed_files(experiment: Resolved) -> list[str]:
    """The files of the base model that is attributed."""
    return base_files(experiment, experiment.base)


def member_files(experiment: Resolved, folder: str) -> list[str]:
    """The files of a subset model, a checkpoint or a retrained model in ``folder``."""
    return [f"{folder}/{name}" for name in experiment.family["member_files"]]


def trained_files(experiment: Resolved) -> list[str]:
    """Files of the base model and its checkpoints, which one job trains."""
    folder = f"{experiment.folder}/models"
    files = base_files(experiment, f"{folder}/base")
    for number in range(len(config.checkpoints(experiment))):
        files += member_files(experiment, f"{folder}/checkpoints/{number:02d}")
    return files


def shards(experiment: Resolved, use: str) -> list[str]:
    """Numbers of the shards of a use, in the form of paths, such as ``007``."""
    subsets = experiment["subsets"]
    return [f"{i:03d}" for i in range(subsets[use]["models"] // subsets["models_per_job"])]


def seeds(experiment: Resolved, use: str) -> range:
    """Retraining seeds of a use: 0 … R - 1."""
    return range(experiment["subsets"][use]["seeds"])


def shard_files(
    experiment: Resolved, use: str, seed: object = "{seed}", shard: object = "{shard}"
) -> list[str]:
    """The masks and models of a shard; by default a pattern with the wildcards seed and shard."""
    folder = f"{experiment.folder}/models/{use}/seed-{seed}/shard-{shard}"
    files = [f"{folder}/masks.npy"]
    for number in range(experiment["subsets"]["models_per_job"]):
        files += member_files(experiment, f"{folder}/{number:02d}")
    return files


def shard_masks(experiment: Resolved, use: str) -> list[str]:
    """The masks of every shard of a use."""
    return [
        shard_files(experiment, use, seed, shard)[0]
        for seed in seeds(experiment, use)
        for shard in shards(experiment, use)
    ]


def train_settings(experiment: Resolved, /, **values: Any) -> str:
    """The string of a training job; not the number of checkpoints, which changes no weights."""
    training = {key: v for key, v in experiment["training"].items() if key != "checkpoints"}
    return model_settings(
        experiment, diffusion=experiment["diffusion"], training=training, **values
    )


def base_settings(experiment: Resolved) -> str:
    """The string of a base model's training; a replicate has other seed axes than its root."""
    number, epochs = experiment["replicate"]["base"], config.checkpoints(experiment)
    if not number:
        return train_settings(experiment, checkpoints=epochs)
    axes = [experiment["seed_name"], experiment["seed"], "replicate", number]
    return train_settings(experiment, axes=axes, checkpoints=epochs)


def import_settings(experiment: Resolved) -> str:
    """The string of an import of the user's pipeline."""
    return model_settings(
        experiment,
        base=experiment["base"],
        diffusion=experiment["diffusion"],
        retrained=experiment.is_judged,
    )


def subset_settings(experiment: Resolved) -> str:
    """The string of the subset models' training, the same for every shard."""
    keys = ("fraction", "stratify", "models_per_job")
    return train_settings(experiment, **{key: experiment["subsets"][key] for key in keys})


def latent_files(experiment: Resolved) -> list[str]:
    """The encoded images; none for models of pixels."""
    if not experiment.family["latents"]:
        return []
    mirrored = ["train-mirrored.npy"] * experiment["training"]["flip"]
    names = ["train.npy", "val.npy", *mirrored, "pretrained.json"]
    return [f"{experiment.home}/latents/{name}" for name in names]


def prompt_files(experiment: Resolved) -> list[str]:
    """The embedded prompts; none for models without prompts."""
    return [f"{experiment.home}/prompts/embeddings.npy"] * experiment.family["prompts"]


def given_files(experiment: Resolved) -> list[str]:
    """Inputs of every script that runs a model, besides the examples."""
    return latent_files(experiment) + prompt_files(experiment) + frozen_files(experiment)


def frozen_files(experiment: Resolved) -> list[str]:
    """The base model of another experiment, which stays frozen under an adapter."""
    folder = f"results/{experiment['model'].get('frozen')}/models/base"
    return [f"{folder}/{name}" for name in experiment.family["frozen_files"]]


def given_options(experiment: Resolved) -> str:
    """The command line options that go with ``given_files``."""
    latents, prompts = latent_files(experiment), prompt_files(experiment)
    parts = ["--latents", str(Path(latents[0]).parent)] if latents else []
    return shlex.join(parts + (["--prompts", *prompts] if prompts else []))


def query_images(experiment: Resolved) -> list[str]:
    """The queries as images."""
    return [f"{experiment.home}/queries/{kind}.npy" for kind in query_kinds.of(experiment)]


def query_files(experiment: Resolved) -> list[str]:
    """The queries as images or latents, whichever the model denoises, and their labels."""
    suffix = "_latents" if latent_files(experiment) else ""
    kinds = query_kinds.of(experiment)
    names = [f"{kind}{suffix}" for kind in kinds] + [f"{kind}_labels" for kind in kinds]
    return [f"{experiment.home}/queries/{name}.npy" for name in names]
