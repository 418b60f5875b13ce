"""What must hold between two keys of an experiment; each check yields (path, sentence) problems.

The checks run on a whole experiment that already satisfies the schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.config_schema import Problem, suggestion
from dasbench.registry import DATASETS, METHODS

# rows of the removal tables that are no methods
TABLE_WORDS = frozenset({"null"})
# rows that every removal study has
CONTROLS = frozenset({"random", "null"})
# what a rule can name in a shell command and in a path
_PATH = re.compile(r"[A-Za-z0-9_./-]+")


def problems(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of a rule that involves more than one key, or a registry."""
    for check in (_dataset, _model, _training, _subsets, _queries, _timesteps, _damping):
        yield from check(experiment)
    yield from _methods(experiment)
    yield from _applicable(experiment)
    yield from _removal(experiment)
    yield from _comparisons(experiment)


def _dataset(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    name = experiment["data"]["dataset"]
    if name not in DATASETS:
        known = f"known: {', '.join(sorted(DATASETS))}{suggestion(name, DATASETS)}"
        yield ("data", "dataset"), f"is {name}, which is not a registered dataset; {known}"


def _model(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    model = experiment["model"]
    channels, groups = model["block_out_channels"], model["norm_num_groups"]
    for key in ("down_block_types", "up_block_types"):
        if len(model[key]) != len(channels):
            yield (
                ("model", key),
                f"has {len(model[key])} blocks, expected {len(channels)}, one per entry of "
                "model.block_out_channels",
            )
    for index, width in enumerate(channels):
        if width % groups:
            yield (
                ("model", "block_out_channels", index),
                f"is {width}, expected a multiple of model.norm_num_groups, {groups}",
            )


def _training(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    training, count = experiment["training"], subset_size(experiment)
    steps = training["epochs"] * math.ceil(max(count, 1) / training["batch_size"])
    if training["warmup_steps"] >= steps:
        yield (
            ("training", "warmup_steps"),
            f"is {training['warmup_steps']}, expected fewer than the {steps} steps that a subset "
            f"model of {count} images takes",
        )


def subset_size(experiment: Mapping[str, Any]) -> int:
    """Number of training images in one subset, as ``subsets.draw_mask`` rounds it."""
    return round(experiment["subsets"]["fraction"] * experiment["data"]["train"])


def _subsets(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    subsets, train = experiment["subsets"], experiment["data"]["train"]
    per_job = subsets["models_per_job"]
    for use in ("eval", "tune"):
        if subsets[use]["models"] % per_job:
            yield (
                ("subsets", use, "models"),
                f"is {subsets[use]['models']}, expected a multiple of subsets.models_per_job, "
                f"{per_job}",
            )
    if not 1 <= subset_size(experiment) < train:
        yield (
            ("subsets", "fraction"),
            f"is {subsets['fraction']}, expected a share that keeps at least one and drops at "
            f"least one of the {train} training images",
        )


def _queries(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    queries = experiment["queries"]
    fewest = min(queries["val"], queries["gen"])
    if queries["tuning"] >= fewest:
        yield (
            ("queries", "tuning"),
            f"is {queries['tuning']}, expected fewer than queries.val and queries.gen ({fewest}): "
            "the rest is what is reported",
        )


def _timesteps(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    most = experiment["diffusion"]["timesteps"]
    paths = [
        ("queries", "sampling_steps"),
        ("outputs", "timesteps"),
        ("features", "timesteps"),
        ("residuals", "released_timesteps"),
    ]
    values = [(path, experiment[path[0]][path[1]]) for path in paths]
    for name, overrides in experiment["methods"].items():
        features = overrides.get("features")
        if isinstance(features, dict) and "timesteps" in features:
            values.append((("methods", name, "features", "timesteps"), features["timesteps"]))
    for path, value in values:
        if value > most:
            yield path, f"is {value}, expected at most diffusion.timesteps, {most}"


def _damping(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    damping = experiment["damping"]
    first, last = damping["exponents"]
    if first > last:
        yield ("damping", "exponents"), f"is [{first}, {last}], expected the smaller exponent first"
    if damping["mantissas"] != sorted(damping["mantissas"]):
        yield ("damping", "mantissas"), f"is {damping['mantissas']}, expected ascending numbers"


def _methods(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    for name, overrides in experiment["methods"].items():
        path, like = ("methods", name), overrides.get("like")
        known = f"known: {', '.join(METHODS)}"
        if name in TABLE_WORDS:
            yield path, "is a word of the removal tables; expected another name"
        elif name in METHODS and like is not None:
            yield (*path, "like"), f"is {like}, but {name} is registered itself; use another name"
        elif like is None and name not in METHODS:
            yield (
                path,
                f"is not a registered method; {known}; a new name needs scores:, or like: and one "
                f"of these{suggestion(name, METHODS)}",
            )
        elif like is not None and like not in METHODS:
            hint = suggestion(like, METHODS)
            yield (*path, "like"), f"is {like}, which is not a registered method; {known}{hint}"
        else:
            yield from _options(path, METHODS[like or name], overrides)


def _options(
    path: tuple, entry: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Iterator[Problem]:
    """Overrides must be options that the method's registry entry has."""
    allowed = [key for key in entry if key not in ("module", "journey", "inapplicable")]
    for key in overrides:
        if key not in allowed and key != "like":
            hint = suggestion(key, allowed)
            yield (
                (*path, key),
                f"is not an option of this method; allowed: {', '.join(allowed)}{hint}",
            )
    features = overrides.get("features")
    if features is not None and isinstance(features, dict) != isinstance(
        entry.get("features"), dict
    ):
        yield (
            (*path, "features"),
            "must stay what it is in the registry (a word, or options of gradient features); "
            "start from another method with like:",
        )
    yield from _probes(path, entry, features)
    if "scores" in entry and not overrides.get("scores"):
        yield (*path, "scores"), "is missing; expected {val: FILE.npy, gen: FILE.npy}"
    for kind, file in overrides.get("scores", {}).items():
        if not _PATH.fullmatch(file) or file.startswith("/") or ".." in file.split("/"):
            yield (
                (*path, "scores", kind),
                f"is {file}, expected a path inside the repository, relative to its root and "
                "without .., of letters, digits, _ . / and - only",
            )


def _probes(path: tuple, entry: Mapping[str, Any], features: Any) -> Iterator[Problem]:
    """Readout probe and its probes belong together."""
    if not isinstance(features, dict) or not isinstance(entry.get("features"), dict):
        return
    merged = {**entry["features"], **features}
    probing, counts = merged["readout"] == "probe", merged.get("probes")
    if probing and not sum((counts or {}).values()):
        yield (
            (*path, "features", "probes"),
            "has no probe, expected such as {constant: 1, cosine: 2} with readout: probe",
        )
    if counts is not None and not probing:
        yield (
            (*path, "features", "readout"),
            f"is {merged['readout']}, expected probe beside probes; start from another method with "
            "like:",
        )


def _applicable(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """What methods refer to must be there: checkpoints, dimensions, kinds of queries."""
    training = experiment["training"]
    kept = min(training["checkpoints"], training["epochs"])
    for name, overrides in experiment["methods"].items():
        entry = METHODS.get(overrides.get("like", name), {})
        chosen = overrides.get("checkpoints", "all")
        if chosen != "all" and max(chosen) >= kept:
            yield (
                ("methods", name, "checkpoints"),
                f"is {chosen}, expected numbers from 0 to {kept - 1}: training keeps {kept} models",
            )
        features = overrides.get("features", entry.get("features"))
        if isinstance(features, dict) and isinstance(entry.get("features"), dict):
            yield from _room_for_probes(
                ("methods", name, "features"),
                {**experiment["features"], **entry["features"], **features},
            )
        gone = features == "embeddings" and not experiment["embedding"]["model"]
        if (gone or "gen" in entry.get("inapplicable", {})) and name in experiment["removal"][
            "methods"
        ]:
            yield (
                ("removal", "methods"),
                f"has {name}, which has no scores of generated images in this experiment",
            )


def _room_for_probes(path: tuple, features: Mapping[str, Any]) -> Iterator[Problem]:
    m = sum(features.get("probes", {}).values())
    if m > features["dimensions"]:
        yield (
            (*path, "probes"),
            f"are {m}, expected at most the method's dimensions, {features['dimensions']}, which "
            "they share",
        )


def _removal(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    removal, queries = experiment["removal"], experiment["queries"]
    uses = [(("removal", "methods", i), m) for i, m in enumerate(removal["methods"])]
    yield from _references(experiment, [use for use in uses if use[1] not in CONTROLS])
    for path, name in uses:
        if name in CONTROLS:
            yield path, f"is {name}, which is in every removal study; leave it out of the list"
    if not removal["methods"]:
        return
    if not removal["k"]:
        yield ("removal", "k"), "is empty, expected at least one number of images to remove"
    train = experiment["data"]["train"]
    for index, k in enumerate(removal["k"]):
        if k >= train:
            yield ("removal", "k", index), f"is {k}, expected fewer than data.train, {train}"
    left = queries["gen"] - queries["tuning"]
    if removal["queries"] > left:
        yield (
            ("removal", "queries"),
            f"is {removal['queries']}, expected at most queries.gen - queries.tuning, {left}",
        )


def _comparisons(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    pairs = experiment["comparisons"]
    yield from _references(
        experiment,
        [(("comparisons", i, side), pair[side]) for i, pair in enumerate(pairs) for side in "ab"],
    )
    for index, pair in enumerate(pairs):
        if pair["a"] == pair["b"]:
            yield ("comparisons", index), f"compares {pair['a']} with itself; expected two methods"
        if pair in pairs[:index]:
            yield ("comparisons", index), f"repeats {pair['a']} - {pair['b']}; keep one of them"


def _references(experiment: Mapping[str, Any], uses: list[tuple[tuple, str]]) -> Iterator[Problem]:
    methods = experiment["methods"]
    for path, name in uses:
        if name not in methods:
            known = f"{', '.join(methods)}{suggestion(name, methods)}"
            yield path, f"is {name}, expected one of this experiment's methods: {known}"
