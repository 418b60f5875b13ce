"""Check the section ``replay`` of an experiment; yields (path, sentence) problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.core.query_kinds import KINDS
from dasbench.core.yaml_schema import Problem


def problems(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of a condition of the study of one run."""
    replay = experiment["replay"]
    if not replay["fractions"]:
        return
    if not experiment["subsets"]:
        yield (
            ("replay", "fractions"),
            "needs subset models, which choose the parameters of scores; leave it out",
        )
    yield from _fractions(replay, experiment["data"]["train"])
    yield from _models(replay)
    queries = experiment["queries"]
    left = min(queries[kind] - queries["tuning"] for kind in KINDS)
    if replay["queries"] > left:
        yield (
            ("replay", "queries"),
            f"is {replay['queries']}, expected at most queries.val - queries.tuning and "
            f"queries.gen - queries.tuning, {max(left, 0)}",
        )


def _fractions(replay: Mapping[str, Any], train: int) -> Iterator[Problem]:
    for index, fraction in enumerate(replay["fractions"]):
        if not 0 < round(fraction * train) < train:
            yield (
                ("replay", "fractions", index),
                f"is {fraction}, expected a share that keeps at least one and drops at least one "
                f"of the {train} training images",
            )


def _models(replay: Mapping[str, Any]) -> Iterator[Problem]:
    fractions, models, size = (replay[k] for k in ("fractions", "models", "models_per_job"))
    if len(models) != len(fractions):
        yield (
            ("replay", "models"),
            f"has {len(models)} numbers, expected {len(fractions)}, one for each of "
            "replay.fractions",
        )
    counts = [(("replay", "models", i), number) for i, number in enumerate(models)]
    for path, number in [*counts, (("replay", "halves"), replay["halves"])]:
        if number % size:
            yield path, f"is {number}, expected a multiple of replay.models_per_job, {size}"
    if models and replay["halves"] > min(models):
        yield (
            ("replay", "halves"),
            f"is {replay['halves']}, expected at most the smallest of replay.models, {min(models)}",
        )
