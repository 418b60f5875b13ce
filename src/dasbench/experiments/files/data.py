"""Files and settings of images: a data set's pool, an experiment's examples and latents."""

from __future__ import annotations

from pathlib import Path

from dasbench import registry
from dasbench.data import cards
from dasbench.experiments import config
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import frozen_settings, settings


def reads_files(experiment: Resolved) -> bool:
    """Whether an experiment reads image files into a pool; a child uses its parent's pool."""
    return experiment.is_root and registry.reads_files(experiment["data"]["dataset"])


def pool_settings(dataset: str) -> str:
    """The string of the job that makes a data set's pool."""
    return config.canonical({"module": registry.DATASETS[dataset]["module"]})


def read_settings(experiment: Resolved, root: str | Path) -> str:
    """The string of the job that reads all image files; a later job applies ``data.train``."""
    data = experiment["data"]
    kept = {key: value for key, value in data.items() if key not in ("train", "card")}
    files = cards.load(Path(root))[data["dataset"]].get("files", {})
    module = registry.DATASETS[data["dataset"]]["module"]
    return config.canonical({"module": module, "data": kept, "files": files})


def labels_of(experiment: Resolved) -> list[str]:
    """The CSV with labels, if it exists, as an input whose changes rerun the job.

    Pictures are not inputs, because there may be very many; docs/datasets.md says what to do when
    they change.
    """
    path = Path(experiment["data"]["labels"] or "").expanduser()
    wild = set("{}") & set(str(path))  # Snakemake would read braces as wildcards
    return [str(path)] if path.is_file() and not wild else []


def pool_of(experiment: Resolved) -> str:
    """The pool from which examples are chosen."""
    return f"data/{config.pool_name(experiment)}/pool.npz"


def card_of(experiment: Resolved) -> str:
    """The card of the pool."""
    return f"data/{config.pool_name(experiment)}/card.json"


def examples_settings(experiment: Resolved) -> str:
    """The string of the choice of training and held-out images among a pool."""
    data = {name: experiment["data"][name] for name in ("classes", "train")}
    return settings(experiment, val=experiment["queries"]["val"], **data)


def split_settings(experiment: Resolved) -> str:
    """As ``examples_settings``, for a pool of image files: it contains only the classes in use."""
    train, val = experiment["data"]["train"], experiment["queries"]["val"]
    return settings(experiment, val=val, train=train)


def held_out_files(experiment: Resolved) -> list[str]:
    """The held-out images, if there are any."""
    return [f"{experiment.home}/examples/val.npz"] * bool(experiment["queries"]["val"])


def held_out_option(experiment: Resolved) -> str:
    """The held-out images as a command line option, or nothing."""
    return " ".join(f"--val {path}" for path in held_out_files(experiment))


def prompt_settings(experiment: Resolved) -> str:
    """The string of the embedding of prompts."""
    return frozen_settings(experiment)


def latent_settings(experiment: Resolved) -> str:
    """The string of the encoding: how many held-out images, and whether mirrored ones too."""
    val, flip = experiment["queries"]["val"], experiment["training"]["flip"]
    return frozen_settings(experiment, val=val, flip=flip)
