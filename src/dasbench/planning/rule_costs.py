"""The cost of one job of every rule, for ``./run estimate`` and for the resources of the rules.

The number of jobs of a rule comes from Snakemake's plan (``dasbench.planning.planned_jobs``).
Letters as in ``dasbench.planning.workload``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.core.query_kinds import TARGETS
from dasbench.core.query_kinds import of as kinds_of
from dasbench.experiments import config, feature_sets, figure_table
from dasbench.experiments.config_checks import subset_size
from dasbench.planning import ensemble_jobs, network_cost, study_jobs, unet_cost
from dasbench.planning.job_cost import Cost
from dasbench.planning.kernel_cost import (
    TRANSFORMS,
    decomposition,
    floor,
    patches,
    score_bytes,
    scores,
    sums,
)
from dasbench.planning.workload import BATCH, Workload

# an experiment file has no size of its CLIP model: operations per image, and bytes, of ViT-B/32
_CLIP_FLOPS, _CLIP_BYTES = 8.8e9, 2**30
# nor of Stable Diffusion 1's text encoder: operations for a prompt of 77 tokens; number of prompts,
# ten classes and the empty one
_PROMPT_FLOPS, _PROMPTS = 13.3e9, 11


def of(work: Workload) -> dict[str, Cost]:
    """Cost of one job by family, in the order of the workflow.

    Every family with planned jobs is in the result. Families without planned jobs may be, too.
    """
    parts = (_data, _training, _outputs, _queries, _features, network_cost.of, _scores)
    costs = [cost for part in parts for cost in part(work)]
    costs += [*study_jobs.of(work), *ensemble_jobs.of(work), *_removal(work), *_report(work)]
    return {cost.family: cost for cost in costs}


def _light(family: str, memory: int = 0) -> Cost:
    """A job that runs no network and little linear algebra."""
    return Cost(family, {}, memory=memory)


def _data(work: Workload) -> Iterator[Cost]:
    """The data set, the examples, their latents, and the embeddings of prompts."""
    images = 16 * work.n * work.d
    for family in ("prepare_pool", "read_images", "choose_examples", "split_examples"):
        yield _light(family, images)
    if work.family["latents"]:
        rows = (work.n + work.queries["val"]) * (1 + work.experiment["training"]["flip"])
        encoding = {"forward": float(unet_cost.AUTOENCODER * work.d * rows)}
        memory = 2 * images + work.family["frozen_bytes"]
        yield Cost("encode_latents", encoding, -(-rows // 16), memory)
    if work.family["prompts"]:
        embedding = {"forward": _PROMPTS * _PROMPT_FLOPS}
        yield Cost("embed_prompts", embedding, 1, work.family["frozen_bytes"])


def _training(work: Workload) -> Iterator[Cost]:
    """The base model and the subset models."""
    yield work.trains("train_base", 1, work.n)
    yield Cost("import_base", {}, memory=24 * work.model.parameters, models=1)
    if subsets := work.experiment["subsets"]:
        for use in ("tune", "eval"):
            size = subset_size(work.experiment)
            yield work.trains(f"train_subsets_{use}", subsets["models_per_job"], size)


def _outputs(work: Workload) -> Iterator[Cost]:
    """Outputs of the subset models.

    Every batch of queries goes through the base model and through each of a job's models; a job
    measures up to ``shards_per_job`` training jobs of one use and seed.
    """
    outputs, subsets = work.experiment["outputs"], work.experiment["subsets"]
    if not subsets:
        return
    uses = [subsets[use] for use in ("tune", "eval")]
    shards = [use["models"] // subsets["models_per_job"] for use in uses]
    jobs = sum(
        -(-count // outputs["shards_per_job"]) * use["seeds"]
        for count, use in zip(shards, uses, strict=True)
    )
    measured = [use["models"] * use["seeds"] for use in uses]
    held = -(-sum(measured) // jobs) + 1
    yield work.infers("measure_outputs", work.q, outputs["timesteps"] * held, held)
    yield _light("gather_outputs", max(measured) * (2 * work.n + 32 * work.q))
    held = subsets["models_per_job"] + 1
    times = work.experiment["diffusion"]["timesteps"] * held
    yield work.infers("measure_grids", work.q, times, held)
    yield _light("compare_grids", 4 * len(work.methods) * work.n * work.q)


def _queries(work: Workload) -> Iterator[Cost]:
    """The query images; guidance calls the network twice a step."""
    queries, generated = work.experiment["queries"], work.queries["gen"]
    steps = queries["sampling_steps"] * (1 if queries["guidance"] == 1 else 2)
    if work.family["latents"]:
        yield work.infers("make_queries_latents", generated, steps)
        return
    cost = work.infers("make_queries", generated, steps)
    # generated images are labelled by their distances to the examples: both in float64, squares
    near = 20 * work.n * work.d + 8 * work.n * generated
    yield cost._replace(memory=cost.memory + near)


def _features(work: Workload) -> Iterator[Cost]:
    """Features, kernels, embeddings and residuals."""
    if work.features:
        yield work.extracts("compute_features", list(work.features.values()))
    if work.by_timestep:
        yield work.extracts("compute_timesteps", work.by_timestep)
    if work.spectra:
        flops = [decomposition(work.n, wide) for wide in work.spectra]
        wide = max(work.spectra)
        memory = 48 * min(work.n, wide) ** 2 + 4 * work.n * wide
        yield Cost("decompose", {"kernel": sum(flops) / len(flops)}, memory=memory)
    yield from _journeys(work)
    yield _embeds(work, "compute_embeddings", work.n + work.q)
    if work.residuals:
        times = [r["timesteps"] * r["draws"] for r in work.residuals.values()]
        cost = work.infers("compute_residuals", work.n, max(times))
        mean = work.model.flops * work.n * sum(times) / len(times)
        yield cost._replace(work={"forward": mean})


def _journeys(work: Workload) -> Iterator[Cost]:
    """Features along the path by which a query was sampled."""
    sets = {}
    for options in work.methods.values():
        if options.get("journey"):
            sets |= feature_sets.of_method(options, work.experiment)
    if not sets:
        return
    features, q = next(iter(sets.values())), work.queries["gen"]
    steps = work.experiment["queries"]["sampling_steps"]
    places = min(features["timesteps"], steps)
    gradients = places * features["draws"]
    each = 3.0 * work.model.flops * gradients + work.projects(features) * places
    amounts = {
        f"features:{features['projection']}": each * q,
        "forward": 1.0 * work.model.flops * steps * q,
    }
    calls = (steps + gradients) * -(-q // BATCH["features"])
    yield Cost("compute_journeys", amounts, calls, work.feature_memory(features))


def _embeds(work: Workload, family: str, images: int) -> Cost:
    """A job that passes images through a CLIP model."""
    amounts, calls = {"forward": float(_CLIP_FLOPS * images)}, -(-images // BATCH["features"])
    return Cost(family, amounts, calls, 4 * images * work.d + _CLIP_BYTES)


def _scores(work: Workload) -> Iterator[Cost]:
    """Parameters, scores and their LDS; the work is the mean over the methods."""
    e, subsets = work.experiment, work.experiment["subsets"]
    methods, rules = list(work.methods.values()), {"score": None}
    if subsets:
        rules = {"select_damping": "tune", **rules, "evaluate_lds": "eval"}
    memory = _score_memory(work, methods)
    yield _light("fix_damping")
    yield _light("take_parameters")
    selecting = [options for options in methods if "members" in options]
    flops = [_linear_algebra(work, options, False, 0) for options in selecting]
    yield Cost("predict_floor", {"kernel": sum(flops)}, memory=_score_memory(work, selecting))
    for family, use in rules.items():
        models = subsets[use]["models"] if use else 0
        flops = [_linear_algebra(work, options, bool(use), models) for options in methods]
        amounts = {"kernel": sum(flops) / len(flops)}
        if use == "eval":
            drawn = (
                e["lds"]["draws"] * models * (work.q - len(kinds_of(e)) * e["queries"]["tuning"])
            )
            amounts["bootstrap"] = float(drawn * TRANSFORMS * len(TARGETS))
        yield Cost(family, amounts, memory=memory)
        if family == "score":
            yield Cost("check_scores", amounts, memory=memory)
            some = [o for o in methods if config.kinds(o) != kinds_of(e)]
            yield Cost("score_kind", amounts, memory=_score_memory(work, some))


def _kernels(options: Mapping[str, Any]) -> int:
    """Timesteps that a method's score job goes through one by one; 0 for averaged features."""
    return options["features"]["timesteps"] if feature_sets.keeps_timesteps(options) else 0


def _gradients(work: Workload, options: Mapping[str, Any]) -> int:
    """Gradients of one timestep that a method's score job holds; 0 for averaged features."""
    kernels = _kernels(options)
    return work.n * (kernels if options.get("kernel") == "pooled" else min(kernels, 1))


def _linear_algebra(work: Workload, options: Mapping[str, Any], grid: bool, models: int) -> float:
    """Operations of a method's scores on its grid, or at one point, and of sums over M subsets."""
    wide, n, q = work.dimensions(options.get("features")), work.n, work.q
    points = work.points(options) if grid else 1
    if "form" in options or "members" in options:
        floors = options.get("members", [options])
        similar = [floor(n, q, wide, one["grid"], grid) for one in floors]
        return (sum(similar) if grid else max(similar)) + sums(n, q, points, models)
    if options["module"] == "nda":
        one = patches(n, q, work.shape, options["grid"]["patch"])
        return one * (points if grid else 1) + sums(n, q, points, models)
    if "kernel" not in options:
        steps = max(_kernels(options), 1)
        return 2.0 * steps * n * q * wide + sums(n, q, points, models)
    return scores(n, q, wide, points, models, _kernels(options))


def _score_memory(work: Workload, methods: list[Mapping[str, Any]]) -> int:
    """Bytes of the largest job among those of some methods."""
    sizes = [(work.dimensions(o.get("features")), _gradients(work, o)) for o in methods]
    most = max(work.queries.values())
    floors = [one["grid"] for o in methods for one in o.get("members", [o]) if "form" in one]
    kernels = max((len(grid["width"]) for grid in floors if "penalty" in grid), default=0)
    held = 8 * work.n**2 * (kernels + 3 * bool(kernels))  # eigenvectors; those being decomposed
    return max((held + score_bytes(work.n, most, *size) for size in sizes), default=0)


def _removal(work: Workload) -> Iterator[Cost]:
    """The removal study: models retrained without some images, and their generated images."""
    e, r = work.experiment, work.experiment["removal"]
    if not r["methods"]:
        return
    steps = e["queries"]["sampling_steps"]
    left, sets, nulls = work.n - min(r["k"]), r["random_sets"], r["null_models"]
    chosen = len(r["methods"]) + len(r["bottom"])
    # arm -> jobs, models in a job, training images of a model, sampling steps of all its models
    arms = {
        "methods": (len(r["k"]) * chosen, r["queries"], left, r["queries"] * steps),
        "random": (len(r["k"]), sets, left, sets * r["queries"] * steps),
        "null": (1, nulls, work.n, nulls * r["queries"] * steps),
    }
    count = sum(number for number, *_ in arms.values())
    for family in ("choose_removals", "choose_bottom"):
        yield _light(family, 8 * work.n * work.q)
    for arm, (_, models, images, _) in arms.items():
        yield work.trains(f"train_removal_{arm}", models, images)
    # every model, the base twice, on all generated queries; then one image per sampling
    times = e["outputs"]["timesteps"] * work.queries["gen"]
    forward = sum(a[0] * ((a[1] + 2) * times + a[3]) for a in arms.values()) / count
    held = max(a[1] for a in arms.values()) + 1
    batches = -(-work.queries["gen"] // BATCH["forward"])
    calls = max((a[1] + 2) * e["outputs"]["timesteps"] * batches + a[3] for a in arms.values())
    yield work.infers("measure_removal", 1, int(forward), held)._replace(calls=calls)
    yield _light("summarise_removal")
    shown = sum(
        a[0] * (a[1] if arm == "methods" else a[1] * r["queries"]) for arm, a in arms.items()
    )
    yield _embeds(work, "embed_removals", shown + work.queries["gen"])
    yield _light("summarise_embedded_removal")


def _report(work: Workload) -> Iterator[Cost]:
    """Tables, figures and pages; last the target, which runs nothing."""
    memory = {
        "tabulate_lds": 4 * len(work.methods) * work.n * work.q,
        "plot_neighbours": 40 * work.n * work.d,
        "gather_explorer": 8 * work.n * work.q + 2 * work.n * work.d,
    }
    families = (
        *"rank_by_tuning summarise_lds tabulate_lds summarise_replicates".split(),
        *(drawing.rule for drawing in figure_table.DRAWINGS),
        *"write_metrics gather_explorer render_report render_examples target".split(),
    )
    for family in families:
        yield _light(family, memory.get(family, 0))
