"""Check ``groups`` and ``removal.bottom`` of an experiment; yields (path, sentence) problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.core.yaml_schema import Problem


def problems(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of a condition of the study of groups."""
    groups, data = experiment["groups"], experiment["data"]
    for index, pair in enumerate(experiment["comparisons"]):
        if "groups" in pair.get("truth", ()) and not groups["by"]:
            yield (
                ("comparisons", index, "truth"),
                "has groups, but there is no study of groups; give groups.by",
            )
    yield from _bottom(experiment["removal"])
    if not groups["by"]:
        return
    if not experiment["subsets"]:
        yield (
            ("groups", "by"),
            "needs subset models, which choose the parameters of scores; leave it out",
        )
    labels = data["train"] if data["classes"] == "all" else len(data["classes"])
    if groups["count"] > labels:
        yield (
            ("groups", "count"),
            f"is {groups['count']}, expected at most {labels}, the number of "
            + ("training images" if data["classes"] == "all" else "data.classes"),
        )


def _bottom(removal: Mapping[str, Any]) -> Iterator[Problem]:
    for index, name in enumerate(removal["bottom"]):
        if name not in removal["methods"]:
            listed = ", ".join(removal["methods"]) or "none"
            yield (
                ("removal", "bottom", index),
                f"is {name}, expected one of removal.methods: {listed}",
            )
