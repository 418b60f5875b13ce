"""Check what an experiment takes from others, and studies without retraining; yields problems.

``parameters_of`` takes the parameters of methods that the tuning data of another experiment chose.
``retrieval.once`` compares scores with those of an experiment whose images stand once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dasbench.core.yaml_schema import Problem, suggestion

Methods = Mapping[str, Mapping[str, Any]]


def named(experiment: Mapping[str, Any], known: Sequence[str]) -> Iterator[Problem]:
    """Check that the experiments that a file names exist; their own files are read elsewhere.

    Args:
        experiment: This experiment.
        known: Names of all experiments.
    """
    frozen, sets = experiment["model"].get("frozen"), experiment["dampings"]["sets"]
    found = [(("model", "frozen"), frozen)] * (frozen is not None)
    found += [(("dampings", "sets", index), name) for index, name in enumerate(sets)]
    for path, name in found:
        if name not in known:
            listed = f"{', '.join(known)}{suggestion(name, known)}"
            yield path, f"is {name}, expected one of the experiments: {listed}"


def full_models(experiment: Mapping[str, Any]) -> int:
    """Number of models that an experiment without parent trains on all examples."""
    removal = experiment["removal"]
    return 1 + removal["null_models"] * bool(removal["methods"])


def parameters(
    experiment: Mapping[str, Any], other: Mapping[str, Any], methods: Methods, others: Methods
) -> Iterator[Problem]:
    """Check that the other experiment chose the parameters of every method of this one.

    Args:
        experiment: This experiment.
        other: The experiment of ``parameters_of``.
        methods: Complete options of the methods of this one.
        others: Those of the other one.
    """
    path, name = ("parameters_of",), experiment["parameters_of"]
    if experiment["subsets"]:
        yield path, f"is {name}, but subset models choose the parameters here; give subsets: null"
    if not other["subsets"]:
        yield (
            path,
            f"is {name}, which has no subset models to choose parameters; expected one that has",
        )
        return
    if experiment["damping"] != other["damping"]:
        yield ("damping",), f"is not the grid of {name}, whose choice is taken; give the same one"
    for method, options in methods.items():
        there = others.get(method, {})
        if _choosable(options) != _choosable(there):
            what = "has other options there" if there else "is absent there"
            yield (
                ("methods", method),
                f"takes the parameters that {name} chose, but {what}; expected the same method",
            )


def _choosable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options on which the choice of parameters depends; the order of floors is none of them."""
    kept = {key: value for key, value in options.items() if key != "inapplicable"}
    if "members" in kept:
        kept["members"] = sorted(kept["members"], key=lambda floor: floor["name"])
    return kept


def once(
    experiment: Mapping[str, Any], other: Mapping[str, Any], methods: Methods, others: Methods
) -> Iterator[Problem]:
    """Check that copies can be compared with single images; arguments as for ``parameters``."""
    path, name = ("retrieval", "once"), experiment["retrieval"]["once"]
    if experiment["retrieval"]["truth"] != "copies":
        yield path, f"is {name}, expected null: only truth: copies compares copies"
    for side in (experiment, other):
        if side.get("parent"):
            yield (
                path,
                f"is {name}; expected two experiments without parent, with their own models",
            )
    if absent := [method for method in methods if method not in others]:
        yield path, f"is {name}, which lacks {', '.join(absent)}; give it the same methods"


def retrieval(experiment: Mapping[str, Any], planted: str | None) -> Iterator[Problem]:
    """Check that the data set has the truth that is asked for.

    Args:
        experiment: This experiment.
        planted: What the data set plants: marks, copies or None.
    """
    study, data = experiment["retrieval"], experiment["data"]
    path = ("retrieval", "truth")
    if study["truth"] in ("marks", "copies") and study["truth"] != planted:
        yield (
            path,
            f"is {study['truth']}, which {data['dataset']} does not have; use another data set",
        )
    if study["truth"] == "labels" and not experiment["queries"]["val"]:
        yield path, "is labels, but queries.val is 0: only labels of held-out images are known"
    if study["truth"] is not None and study["top"] > data["train"]:
        yield (
            ("retrieval", "top"),
            f"is {study['top']}, expected at most data.train, {data['train']}",
        )


def trajectory(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Check the study of sampling paths."""
    places, steps = experiment["trajectory"]["places"], experiment["queries"]["sampling_steps"]
    path = ("trajectory", "places")
    if places and not experiment["subsets"]:
        yield path, "needs subset models; leave it out, or give subsets"
    if places > steps:
        yield path, f"is {places}, expected at most queries.sampling_steps, {steps}"
