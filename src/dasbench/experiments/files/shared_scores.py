"""Methods whose scores and LDS a child shares with a parent: those with equal settings.

A study that judges scores by another ground truth reads the parent's scores, with the parameters
that were chosen there, and computes no score again.
"""

from __future__ import annotations

from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import draw_axes

# sections that the features, parameters or intervals of a method depend on, besides its options
SECTIONS = ("features", "residuals", "damping", "embedding", "lds")


def equal(experiment: Resolved, other: Resolved, method: str) -> bool:
    """Whether a method has the same scores and the same LDS in both experiments of a family."""
    return (
        experiment["seed_name"] == other["seed_name"]
        and experiment.base == other.base
        and draw_axes(experiment) == draw_axes(other)
        and experiment.methods.get(method) == other.methods.get(method)
        and all(experiment[name] == other[name] for name in SECTIONS)
    )


def home(experiment: Resolved, method: str) -> str:
    """Folder with a method's scores and LDS: of the topmost parent with equal settings, or its own.

    Args:
        experiment: The experiment.
        method: One of its methods.
    """
    parents = [parent for parent in experiment.parents if equal(experiment, parent, method)]
    return (parents or [experiment])[-1].folder


def score_file(experiment: Resolved, method: str, kind: str) -> str:
    """The scores of a method and a kind of query, in ``home``."""
    return f"{home(experiment, method)}/scores/{method}/{kind}.npy"
