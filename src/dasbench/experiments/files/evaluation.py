"""Files and settings of the summary of the LDS over methods."""

from __future__ import annotations

from collections.abc import Mapping

from dasbench.core import query_kinds
from dasbench.experiments import config
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.scores import method_tables
from dasbench.experiments.files.settings import settings

TABLES = ("selection.csv", "summary.csv", "leverage.csv", "per_query.parquet", "draws.npy")


def compared_pairs(experiment: Resolved) -> list[dict[str, str]]:
    """The primary comparisons of the experiment file, then every other method against das."""
    primary = experiment["comparisons"]
    truth = list(query_kinds.TARGETS)
    pairs = [{"kind": "primary", "truth": truth, **c} for c in primary]
    primary_pairs = {frozenset((c["a"], c["b"])) for c in primary}
    if "das" in experiment.methods:
        others = [m for m in experiment.methods if m != "das"]
        others = [m for m in others if frozenset((m, "das")) not in primary_pairs]
        pairs += [{"kind": "exploratory", "a": m, "b": "das", "truth": truth} for m in others]
    return pairs


def floor(experiment: Resolved) -> str | None:
    """The method that selects one of several floors, or None; the checks allow one."""
    return next(
        (name for name, options in experiment.methods.items() if "members" in options), None
    )


def floor_names(experiments: Mapping[str, Resolved]) -> list[str]:
    """Names of these methods in all experiments."""
    return sorted({name for e in experiments.values() if (name := floor(e))})


def _predictions(experiment: Resolved) -> str:
    return f"{experiment.folder}/lds/methods/{floor(experiment)}/predictions"


def floor_predictions(experiment: Resolved) -> list[str]:
    """Predictions of the floor, if there is one, which the partial LDS holds fixed."""
    if floor(experiment) is None:
        return []
    return [f"{_predictions(experiment)}/{kind}.npy" for kind in query_kinds.KINDS]


def floor_flag(experiment: Resolved) -> str:
    """The folder of these predictions as a command line option, or nothing."""
    return "" if floor(experiment) is None else f"--floor {_predictions(experiment)}"


def summary_settings(experiment: Resolved) -> str:
    """The string of the summary: the methods, their comparisons, and which use tuning subsets."""
    models = experiment["subsets"]["tune"]["models"]
    methods = experiment.methods
    return settings(
        experiment,
        experiment=experiment["name"],
        methods=list(methods),
        tuning={name: models for name, options in methods.items() if options.get("tuning")},
        comparisons=compared_pairs(experiment),
        inapplicable=config.inapplicable(experiment),
        **experiment["lds"],
    )


def lds_tables(experiment: Resolved) -> list[str]:
    """The tables of every method."""
    return method_tables(experiment, TABLES, experiment.methods)
