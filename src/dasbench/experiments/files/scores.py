"""Settings of the methods, and the files of their scores and LDS.

``dasbench.attribution.method_files`` has the input files of a method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dasbench.core import query_kinds
from dasbench.experiments import config
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import settings


def method_module(experiment: Resolved, method: str) -> str:
    """Module of the method's family."""
    return experiment.methods[method]["module"]


def partial_methods(experiments: Mapping[str, Resolved]) -> list[str]:
    """Names of the methods that, in some experiment, apply to some of its kinds of queries only."""
    return sorted(
        {
            name
            for experiment in experiments.values()
            for name, options in experiment.methods.items()
            if config.kinds(options) != query_kinds.of(experiment)
        }
    )


def score_files(experiment: Resolved) -> list[str]:
    """Scores of every method, of the kinds of queries that it applies to."""
    return [
        f"{experiment.folder}/scores/{method}/{kind}.npy"
        for method, options in experiment.methods.items()
        for kind in config.kinds(options)
    ]


def method_settings(
    experiment: Resolved, method: str, kind: str | None = None, names: Sequence[str] = ()
) -> str:
    """The string of a method's scores, of its dampings or of its LDS.

    Args:
        experiment: The experiment.
        method: Name of the method.
        kind: The kind of queries of the job; None for all kinds that the method applies to.
        names: Sections of the experiment file that the job also depends on. The string has each
            section under its name, but the keys of ``lds`` at its top level.
    """
    options = dict(experiment.methods[method])
    kinds = [kind] if kind else config.kinds(options)
    transform = options.pop("transform")
    options.pop("inapplicable", None)  # the reason in the tables changes no score
    more = {name: experiment[name] for name in names if name != "lds"}
    more |= experiment["lds"] if "lds" in names else {}
    return settings(
        experiment,
        experiment=experiment["name"],
        method=method,
        options=options,
        transform=transform,
        kinds=kinds,
        **more,
    )


def method_tables(experiment: Resolved, names: Iterable[str], methods: Iterable[str]) -> list[str]:
    """Files of the LDS of each method."""
    folder = f"{experiment.folder}/lds/methods"
    return [f"{folder}/{method}/{name}" for method in methods for name in names]


def tuning_tables(experiment: Resolved) -> list[str]:
    """The choice of every method's damping."""
    return method_tables(experiment, ["selection.csv"], experiment.methods)


def tuning_settings(experiment: Resolved) -> str:
    """The string of the ranking on tuning data."""
    transforms = {name: options["transform"] for name, options in experiment.methods.items()}
    return settings(experiment, transforms=transforms)


def borrows(experiment: Resolved) -> bool:
    """Whether another experiment's tuning data choose the parameters of the methods."""
    return "parameters_of" in experiment


def chosen_file(experiment: Resolved, method: str) -> str:
    """The choice of that other experiment."""
    return f"results/{experiment['parameters_of']}/lds/methods/{method}/selection.csv"


def taken_settings(experiment: Resolved, method: str) -> str:
    """The string of the job that takes the parameters."""
    return settings(experiment, kinds=config.kinds(experiment.methods[method]))
