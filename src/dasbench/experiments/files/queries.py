"""Files and settings of the queries: held-out and generated images."""

from __future__ import annotations

from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings

LATENT_QUERIES = ("val_latents.npy", "gen_latents.npy")  # beside the images, for models of latents


def query_settings(experiment: Resolved) -> str:
    """The string of the job that makes the queries."""
    return model_settings(experiment, **experiment["queries"])
