"""Files and settings of the measurement of fine-tuning: the adapter of an experiment's base."""

from __future__ import annotations

from dasbench.core import query_kinds
from dasbench.experiments.files.models import base_files
from dasbench.experiments.files.outputs import output_grid
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings


def has_adaptation(experiment: Resolved) -> bool:
    """Whether the model is an adapter of another experiment's model, judged on held-out images."""
    judged = experiment.is_root and experiment.is_judged and "val" in query_kinds.of(experiment)
    return judged and bool(experiment.family["frozen_files"])


def own_queries(experiment: Resolved) -> str:
    """Folder of the queries of the frozen model."""
    return f"results/{experiment['model']['frozen']}/queries"


def adaptation_inputs(experiment: Resolved) -> list[str]:
    """The adapted model, and the held-out images of both experiments."""
    folders = [f"{experiment.home}/queries", own_queries(experiment)]
    images = [f"{folder}/{name}.npy" for folder in folders for name in ("val", "val_labels")]
    return base_files(experiment) + images


def adaptation_settings(experiment: Resolved) -> str:
    """The string of the measurement."""
    own = {key: experiment[key] for key in ("diffusion", "lds")}
    return model_settings(experiment, grid=output_grid(experiment), **own)


def adaptation_tables(experiment: Resolved) -> list[str]:
    """The table."""
    return [f"{experiment.folder}/adaptation.csv"]
