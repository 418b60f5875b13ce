"""Canonical strings of settings, and the seed axes in them.

Equal values give an equal string. The string of a job has all settings that affect its result, and
no others: a change of any other setting must not rerun the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dasbench.experiments.config import canonical
from dasbench.experiments.files.resolved import Resolved


def settings(experiment: Resolved, /, **values: Any) -> str:
    """The string of a job: its values, and the leading axes of every seed."""
    return canonical({"axes": [experiment["seed_name"], experiment["seed"]], **values})


def sections(experiment: Resolved, names: Iterable[str] = ()) -> str:
    """The string of a job that depends on whole sections of the experiment file."""
    return settings(experiment, **{name: experiment[name] for name in names})


def model_settings(experiment: Resolved, /, **values: Any) -> str:
    """The string of a job that runs a model: its values, the section ``model`` and its family."""
    return settings(
        experiment,
        model=experiment["model"],
        family=experiment.family["module"],
        **values,
    )


def frozen_settings(experiment: Resolved, /, **values: Any) -> str:
    """The string of a job that runs pretrained networks only: no settings of training, no seed."""
    model = experiment["model"]
    frozen = {key: model[key] for key in ("pretrained", "revision", "prompt") if key in model}
    return canonical({"model": frozen, "family": experiment.family["module"], **values})


def draw_axes(experiment: Resolved) -> list[str | int]:
    """Leading seed axes of noise, projections and residuals; a replicate has other axes."""
    number = experiment["replicate"]["features"]
    return [experiment["seed_name"], experiment["seed"]] + ["replicate", number] * (number > 0)


def drawn_settings(
    experiment: Resolved, features: Mapping[str, Any] | None = None, /, **values: Any
) -> str:
    """As ``model_settings``, with the axes of ``draw_axes``.

    Args:
        experiment: The experiment.
        features: A set of features; its ``draw``, if it has one, is a further axis.
        values: Further values.
    """
    more = ["draw", features["draw"]] if features and "draw" in features else []
    return model_settings(experiment, **{"axes": draw_axes(experiment) + more, **values})
