"""Predicted storage of an experiment."""

from __future__ import annotations

import math

from dasbench.core.query_kinds import TARGETS
from dasbench.experiments import config
from dasbench.planning import ensemble_jobs, study_jobs
from dasbench.planning.workload import Workload


def folders(work: Workload, models: int) -> dict[str, int]:
    """Predicted bytes in each folder of results/<experiment> that grows with the experiment.

    Args:
        work: The experiment's sizes.
        models: How many models its jobs train or import, without checkpoints of the base model.

    Returns:
        folder -> bytes.
    """
    e, subsets = work.experiment, work.experiment["subsets"]
    models += e["training"]["checkpoints"] if work.own and not e["base"] else 0
    sizes = {
        # a safetensors header and three JSON files beside the weights
        "models": models * (4 * work.model.parameters + 15_000),
        "features": 4 * (work.n + work.q) * sum(map(work.dimensions, work.features.values()))
        + sum(8 * min(work.n, wide) * (min(work.n, wide) + 1) for wide in work.spectra)
        + sum(4 * (work.n + work.q) * c["timesteps"] * work.width(c) for c in work.by_timestep),
        "residuals": (4 * work.n + 128) * len(work.residuals),
        "network": 4 * work.n * work.q * sum(map(work.computed_dampings, work.methods.values()))
        + ensemble_jobs.parts(work),
        "scores": 4
        * work.n
        * sum(work.queries[kind] for o in work.methods.values() for kind in config.kinds(o)),
        "lds": len(work.methods) * (4 * 24 * e["lds"]["draws"] + 70_000),
    }
    sizes |= study_jobs.storage(work) | ensemble_jobs.storage(work)
    if work.own:
        uses = [subsets[use] for use in ("tune", "eval")] if subsets else []
        measured = sum(use["models"] * use["seeds"] for use in uses)
        query_bytes = 4 * work.d * (work.queries["val"] + 2 * work.queries["gen"])
        sizes |= {
            "examples": (work.n + work.queries["val"]) * work.d,
            "queries": query_bytes,
            **_latents(work),
            # each number twice: by shard and gathered
            "outputs": 2 * 4 * len(TARGETS) * measured * work.q,
            "masks": 2 * measured * work.n,
        }
    return sizes


def _latents(work: Workload) -> dict[str, int]:
    """Bytes of the encoded examples."""
    if not work.family["latents"]:
        return {}
    rows = work.n * (1 + work.experiment["training"]["flip"]) + work.queries["val"]
    return {"latents": 4 * rows * math.prod(work.seen)}
