"""Files and settings of the summary of the LDS over methods."""

from __future__ import annotations

from dasbench.experiments import config
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.scores import method_tables
from dasbench.experiments.files.settings import settings

TABLES = ("selection.csv", "summary.csv", "leverage.csv", "per_query.parquet", "draws.npy")


def compared_pairs(experiment: Resolved) -> list[dict[str, str]]:
    """The primary comparisons of the experiment file, then every other method against das."""
    primary = experiment["comparisons"]
    pairs = [{"kind": "primary", "a": c["a"], "b": c["b"]} for c in primary]
    primary_pairs = {frozenset((c["a"], c["b"])) for c in primary}
    if "das" in experiment.methods:
        others = [m for m in experiment.methods if m != "das"]
        others = [m for m in others if frozenset((m, "das")) not in primary_pairs]
        pairs += [{"kind": "exploratory", "a": method, "b": "das"} for method in others]
    return pairs


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
