"""Files and settings of replicates.

A *replicate* repeats an experiment with other random draws of features, or another base model.
"""

from __future__ import annotations

from collections.abc import Mapping

from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import settings

REPLICATE_TABLES = ("values", "summary", "comparisons")


def has_base(experiment: Resolved) -> bool:
    """Whether the experiment is a replicate that trains a base model, on its root's examples."""
    return bool(experiment["replicate"]["base"])


def replicates(experiment: Resolved, experiments: Mapping[str, Resolved]) -> list[str]:
    """Names of the replicates of an experiment without parent."""
    return [
        name
        for name, other in experiments.items()
        if any(other["replicate"].values())
        and other["seed_name"] == experiment["name"]
        and not other.is_root
    ]


def _all(experiment: Resolved, experiments: Mapping[str, Resolved]) -> list[str]:
    return [experiment["name"], *replicates(experiment, experiments)]


def replicate_summaries(experiment: Resolved, experiments: Mapping[str, Resolved]) -> list[str]:
    """The LDS of an experiment and of its replicates."""
    return [f"results/{name}/lds/summary.csv" for name in _all(experiment, experiments)]


def replicate_settings(experiment: Resolved, experiments: Mapping[str, Resolved]) -> str:
    """The string of the comparison: the numbers of base model and draws of each replicate."""
    draws = {}
    for name in _all(experiment, experiments):
        base = experiments[experiments[name]["base_home"]]["replicate"]["base"]
        draws[name] = {"base": base, "features": experiments[name]["replicate"]["features"]}
    return settings(experiment, draws=draws, comparisons=experiment["comparisons"])
