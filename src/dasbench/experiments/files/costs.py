"""Files and settings of the comparison of cost and quality."""

from __future__ import annotations

from typing import Any

from dasbench.experiments import ablation_design, residual_sets
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.scores import method_tables
from dasbench.experiments.files.settings import drawn_settings, settings

COST_FILES = ("cost-times.csv", "cost-quality.csv", "cost-speedup.json")


def has_times(experiment: Resolved) -> bool:
    """Whether methods are timed; not with ``acceleration: {reference: null}``, the default."""
    return bool(experiment["acceleration"]["reference"])


def timed_methods(experiment: Resolved) -> dict[str, dict[str, Any]]:
    """Timed method -> its kernel, features and residuals, and the settings that the table shows."""
    methods, residuals = {}, residual_sets.sets(experiment)
    for name, options in experiment.methods.items():
        if ablation_design.timed(options):
            kernel, features = options["kernel"], options["features"]
            shown = {k: v for k, v in features.items() if k != "dimensions"} | {"kernel": kernel}
            shown["timestep_range"] = str(shown["timestep_range"] or "all")
            methods[name] = {
                "kernel": kernel,
                "features": features,
                "residuals": residuals.get(residual_sets.name_of(options, experiment)),
                "shown": shown,
            }
    return methods


def time_settings(experiment: Resolved) -> str:
    """The string of the timing."""
    return drawn_settings(experiment, methods=timed_methods(experiment))


def timed_tables(experiment: Resolved) -> list[str]:
    """The LDS of every timed method."""
    names = ("selection.csv", "summary.csv", "draws.npy")
    return method_tables(experiment, names, timed_methods(experiment))


def relate_settings(experiment: Resolved) -> str:
    """The string of the comparison of times and LDS."""
    reference, level = experiment["acceleration"]["reference"], experiment["lds"]["level"]
    return settings(experiment, reference=reference, level=level)
