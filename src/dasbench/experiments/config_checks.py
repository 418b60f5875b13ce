"""Check conditions between keys of an experiment; each check yields (path, sentence) problems.

The checks run on a complete experiment that already satisfies the schema.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dasbench import model_families, registry
from dasbench.core import query_kinds
from dasbench.core.yaml_schema import Problem, suggestion
from dasbench.experiments import (
    ablation_design,
    damping_checks,
    ensemble_checks,
    group_checks,
    method_checks,
    replay_checks,
    study_checks,
)
from dasbench.registry import DATASETS, METHODS, reads_files

# controls of every removal study, which its list of methods must not repeat
CONTROLS = frozenset({"random", "null"})


def problems(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of a condition between keys, or between a key and a registry."""
    judged = (_training, _subsets) if experiment["subsets"] else (_unjudged,)
    for check in (
        _dataset,
        _model,
        _diffusion,
        _process_keys,
        _base,
        *judged,
        _queries,
        _timesteps,
        _damping,
    ):
        yield from check(experiment)
    features, model = experiment["features"], experiment["model"]
    yield from method_checks.group(("features",), features, model)
    yield from method_checks.problems(experiment)
    yield from _removal(experiment)
    yield from _acceleration(experiment)
    yield from _replicate(experiment)
    yield from replay_checks.problems(experiment)
    yield from damping_checks.problems(experiment)
    yield from group_checks.problems(experiment)
    yield from ensemble_checks.problems(experiment)
    planted = DATASETS.get(experiment["data"]["dataset"], {}).get("planted")
    yield from study_checks.retrieval(experiment, planted)
    yield from study_checks.trajectory(experiment)
    yield from _comparisons(experiment)


def _dataset(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    data = experiment["data"]
    name = data["dataset"]
    if data["channels"] == 2:  # noqa: PLR2004
        yield ("data", "channels"), "is 2, expected 1 for grey or 3 for RGB"
    if data["range"] is not None and not data["range"][0] < data["range"][1]:
        yield ("data", "range"), f"is {data['range']}, expected [BLACK, WHITE], the smaller first"
    for key in ("range", "held_out"):
        if data[key] is not None and name != "folder":
            yield ("data", key), f"is for the data set folder, not for {name}; leave it out"
    if name not in DATASETS:
        listed = f"known: {', '.join(sorted(DATASETS))}{suggestion(name, DATASETS)}"
        yield ("data", "dataset"), f"is {name}, which is not a registered dataset; {listed}"
    elif not reads_files(name) or DATASETS[name].get("planted"):
        for key in ("size", "path", "labels", "limit"):
            if data[key] is not None:
                yield ("data", key), f"is for data sets that are read from files, not for {name}"
        if reads_files(name) and data["classes"] != "all":
            yield ("data", "classes"), f"is {data['classes']}, expected all: {name} is used whole"
    elif name == "folder":
        for key, value in (("path", "the folder"), ("size", "the side in pixels of the images")):
            if not data[key]:
                yield ("data", key), f"is missing; expected {value}"


def _model(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    model = experiment["model"]
    family = model_families.family(model)
    for key in family["needs"]:
        if key not in model:
            yield ("model", key), f"is missing; family: {model['family']} needs it"
    for key in model:
        if refused(family, key):
            yield ("model", key), f"is nothing that family: {model['family']} takes; leave it out"
    if "{class}" not in model.get("prompt", "{class}"):
        yield ("model", "prompt"), f"is {model['prompt']}, expected {{class}} somewhere in it"
    yield from _blocks(model)
    yield from _levels(experiment)
    yield from _patches(experiment)


def _diffusion(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Check the order of the betas, by diffusers' defaults for those that are left out."""
    diffusion = experiment["diffusion"]
    start, end = diffusion.get("beta_start", 1e-4), diffusion.get("beta_end", 0.02)
    if start > end:
        key = "beta_start" if "beta_start" in diffusion else "beta_end"
        yield (
            ("diffusion", key),
            f"is {diffusion[key]}, expected beta_start ({start}) to be at most beta_end ({end})",
        )


def refused(family: Mapping[str, Any], key: str) -> bool:
    """Whether a family of the registry refuses a key of ``model``."""
    if family["takes"] is not None:
        return key not in {"family", "revision", *family["needs"], *family["takes"]}
    return key in family["refuses"]


def takes(process: str, key: str) -> bool:
    """Whether a process of the registry takes a key of ``diffusion``."""
    return key == "process" or key in model_families.PROCESSES[process]


def _process_keys(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse keys of another process."""
    diffusion = experiment["diffusion"]
    process = diffusion["process"]
    for key in diffusion:
        if not takes(process, key):
            listed = ", ".join(model_families.PROCESSES[process])
            yield (
                ("diffusion", key),
                f"is nothing that process: {process} takes ({listed}); leave it out",
            )


def _blocks(model: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that the lists of a UNet2DModel's levels fit together."""
    channels, groups = model.get("block_out_channels", []), model.get("norm_num_groups", 1)
    for key in ("down_block_types", "up_block_types"):
        if len(model.get(key, channels)) != len(channels):
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


def _levels(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that image sizes stay whole: a UNet2DModel halves them at every level but the last."""
    size, model = experiment["data"]["size"], experiment["model"]
    halved = max(0, len(model.get("block_out_channels", [])) - 1)
    if model_families.family(model)["latents"] or size is None or not size % 2**halved:
        return
    below = size - size % 2**halved
    near = " or ".join(str(side) for side in (below, below + 2**halved) if side)
    yield (
        ("data", "size"),
        f"is {size}, expected a multiple of {2**halved}, because the model halves its images "
        f"{halved} times, once after each entry of model.block_out_channels but the last; take "
        f"{near}, or another number of entries",
    )


def _patches(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that patches fill the image of a transformer; sizes of latents show at the start."""
    size, model = experiment["data"]["size"], experiment["model"]
    patch = model.get("patch_size", 1)
    if not model_families.family(model)["latents"] and size is not None and size % patch:
        yield ("data", "size"), f"is {size}, expected a multiple of model.patch_size, {patch}"


def _base(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    model = experiment["model"]
    if experiment["base"] is not None and not model_families.family(model)["imports"]:
        able = " or ".join(
            name for name, known in model_families.FAMILIES.items() if known["imports"]
        )
        yield ("base",), f"is given with family: {model['family']}, expected family: {able}"


def _unjudged(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse choices and comparisons in an experiment without subset models to judge them."""
    if "parameters_of" not in experiment:
        yield from _one_point(experiment)
    for key, value in (
        ("removal", experiment["removal"]["methods"]),
        ("comparisons", experiment["comparisons"]),
    ):
        if value:
            yield (key,), "needs subset models; leave it out, or give subsets"


def _one_point(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse grids of parameters of which nothing chooses."""
    damping = experiment["damping"]
    first, last = damping["exponents"]
    if first != last or len(damping["mantissas"]) != 1:
        yield (
            ("damping",),
            f"is a grid of {len(damping['mantissas']) * (last - first + 1)} values, but subsets is "
            "null, so that none can be chosen; give one, such as "
            "{mantissas: [1], exponents: [-4, -4]}, or parameters_of",
        )
    for name, overrides in experiment["methods"].items():
        entry = registry.METHODS.get(overrides.get("like", name), {})
        choices = [*{**entry.get("grid", {}), **overrides.get("grid", {})}.values()]
        choices += [overrides.get("steps", entry.get("steps", [0])), entry.get("members", [0])]
        if any(len(values) > 1 for values in choices):
            yield (
                ("methods", name),
                "has a grid of parameters, but subsets is null, so that none can be chosen; leave "
                "it out",
            )


def _training(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    training, count = experiment["training"], subset_size(experiment)
    steps = training["epochs"] * math.ceil(max(count, 1) / training["batch_size"])
    if training["warmup_fraction"] is None and training["warmup_steps"] >= steps:
        yield (
            ("training", "warmup_steps"),
            f"is {training['warmup_steps']}, expected fewer than the {steps} steps that a subset "
            f"model of {count} images takes",
        )


def subset_size(experiment: Mapping[str, Any]) -> int:
    """Number of training images in one subset, rounded as in ``subsets.draw_mask``."""
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
    if queries["guidance"] != 1 and model_families.condition(experiment["model"]) != "prompts":
        yield (
            ("queries", "guidance"),
            f"is {queries['guidance']}, expected 1: only models with prompts have guidance",
        )
    kinds = query_kinds.of(experiment)
    fewest = min(queries[kind] for kind in kinds)
    yield from _held_out(experiment)
    if queries["tuning"] >= fewest:
        named = " and ".join(f"queries.{kind}" for kind in kinds)
        yield (
            ("queries", "tuning"),
            f"is {queries['tuning']}, expected fewer than {named} ({fewest}): "
            "the rest is what is reported",
        )


def _held_out(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    """Check the number of held-out images; 0 stands for an experiment without them."""
    count, data = experiment["queries"]["val"], experiment["data"]
    if count == 1:
        yield ("queries", "val"), "is 1, expected 0 for no held-out images, or at least 2"
    if count:
        return
    if data["held_out"] is not None:
        yield ("queries", "val"), "is 0, but data.held_out has held-out images; leave one out"
    if model_families.family(experiment["model"])["latents"]:
        yield ("queries", "val"), "is 0, which is for models of pixels; expected at least 2"
    if experiment["acceleration"]["reference"] is not None:
        yield ("acceleration", "reference"), "needs held-out images, but queries.val is 0"


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
    feature_sections = [(("features",), experiment["features"])]
    for name, overrides in experiment["methods"].items():
        if isinstance(overrides.get("features"), dict):
            merged = {**experiment["features"], **overrides["features"]}
            feature_sections.append((("methods", name, "features"), merged))
    for path, features in feature_sections:
        first, end = features["timestep_range"] or (0, most)
        if end > most or end - first < min(features["timesteps"], most):
            yield (
                (*path, "timestep_range"),
                f"is [{first}, {end}], expected at most diffusion.timesteps, {most}, and room for "
                f"the {features['timesteps']} timesteps of features.timesteps",
            )


def _damping(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    damping = experiment["damping"]
    first, last = damping["exponents"]
    if first > last:
        yield ("damping", "exponents"), f"is [{first}, {last}], expected the smaller exponent first"
    if damping["mantissas"] != sorted(damping["mantissas"]):
        yield ("damping", "mantissas"), f"is {damping['mantissas']}, expected ascending numbers"


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


def _acceleration(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    name = experiment["acceleration"]["reference"]
    if name is not None:
        path = ("acceleration", "reference")
        yield from _references(experiment, [(path, name)])
        overrides = experiment["methods"].get(name, {})
        options = {**METHODS.get(overrides.get("like", name), {}), **overrides}
        timed = ablation_design.timed({**options, "features": options.get("features", {})})
        if options and not timed:
            expected = "one set of features, and the kernel averaged or per_t"
            yield path, f"is {name}, whose cost is not measured; expected {expected}"


def _replicate(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in experiment["replicate"].items():
        if value and not experiment.get("parent"):
            yield ("replicate", key), f"is {value}, but there is no parent to replicate; expected 0"


def _comparisons(experiment: Mapping[str, Any]) -> Iterator[Problem]:
    pairs = experiment["comparisons"]
    yield from _references(
        experiment,
        [(("comparisons", i, side), pair[side]) for i, pair in enumerate(pairs) for side in "ab"],
    )
    for index, pair in enumerate(pairs):
        if pair["a"] == pair["b"]:
            yield ("comparisons", index), f"compares {pair['a']} with itself; expected two methods"
        if any((pair["a"], pair["b"]) == (other["a"], other["b"]) for other in pairs[:index]):
            yield ("comparisons", index), f"repeats {pair['a']} - {pair['b']}; keep one of them"
        removed = experiment["removal"]["methods"]
        if "removal" in pair.get("truth", ()) and not {pair["a"], pair["b"]} <= set(removed):
            yield (
                ("comparisons", index, "truth"),
                f"has removal, so removal.methods needs {pair['a']} and {pair['b']}; it has "
                f"{', '.join(removed) or 'none'}",
            )


def _references(experiment: Mapping[str, Any], uses: list[tuple[tuple, str]]) -> Iterator[Problem]:
    methods = experiment["methods"]
    for path, name in uses:
        if name not in methods:
            known = f"{', '.join(methods)}{suggestion(name, methods)}"
            yield path, f"is {name}, expected one of this experiment's methods: {known}"
