"""Costs and files of the studies beside the methods."""

from __future__ import annotations

from collections.abc import Iterator

from dasbench import model_families
from dasbench.core.query_kinds import TARGETS
from dasbench.core.query_kinds import of as kinds_of
from dasbench.experiments import ablation_design
from dasbench.planning.job_cost import Cost
from dasbench.planning.kernel_cost import TRANSFORMS, decomposition, score_bytes, scores
from dasbench.planning.workload import Workload


def of(work: Workload) -> Iterator[Cost]:
    """Cost of one job of each rule of the experiment's studies."""
    if work.experiment["acceleration"]["reference"]:
        yield _times(work)
        yield Cost("relate_costs", {})
    if work.experiment["replay"]["fractions"]:
        yield from _replays(work)
    if work.experiment["dampings"]["twins"]:
        yield from _dampings(work)
    if work.experiment["groups"]["by"]:
        yield from _groups(work)
    if work.experiment["retrieval"]["truth"]:
        memory = 8 * (len(work.methods) + 2) * work.n * max(work.queries.values())
        for family in ("evaluate_retrieval", "evaluate_credit"):
            yield Cost(family, {}, memory=memory)
    if work.experiment["trajectory"]["places"]:
        yield from _trajectory(work)
    frozen = model_families.family(work.experiment["model"])["frozen_files"]
    if frozen and work.experiment["subsets"]:  # two networks, on the images of two experiments
        times = 4 * work.experiment["outputs"]["timesteps"]
        yield work.infers("measure_adaptation", work.queries["val"], times, 2)
    if ablation_design.wanted(work.experiment):
        yield _readouts(work)
        yield _cells(work)
        yield Cost("summarise_ablation", {}, memory=_drawn(work))


def _replays(work: Workload) -> Iterator[Cost]:
    """Replays of one run, their outputs, and exact influence.

    Every step of exact influence is two passes of training, and one backward pass through their
    graph for each query. That pass was measured at 2.1 to 2.9 steps of training on a busy machine.
    """
    e, replay = work.experiment, work.experiment["replay"]
    yield work.trains("train_replay_whole", 1, work.n)
    yield work.trains("train_replay_masks", replay["models_per_job"], work.n)
    most = max(replay["models"]) + 1
    yield work.infers("measure_replay", work.q, e["outputs"]["timesteps"] * most, most)
    queries = min(replay["queries"], replay["queries_per_job"])
    run = work.trains("compute_magic", 1, work.n)
    passes, states = 3.0 + 2.5 * queries, 2 * run.calls**0.5
    amounts = {kind: amount * passes for kind, amount in run.work.items()}
    # a state has four vectors of weights; so have the cotangents of every query
    memory = run.memory + int(16 * work.model.parameters * (states + 2 * queries))
    yield Cost("compute_magic", amounts, int(run.calls * passes), memory, 0)
    memory = 8 * (len(work.methods) + 2) * work.n * replay["queries"]
    drawn = float(e["lds"]["draws"] * sum(replay["models"]) * 2 * replay["queries"])
    yield Cost("evaluate_replay", {"bootstrap": drawn * len(work.methods)}, memory=memory)


def _dampings(work: Workload) -> Iterator[Cost]:
    """Fine-tuned models, their outputs, and curves along the grid of methods and their twins."""
    e, study = work.experiment, work.experiment["dampings"]
    options, subsets = study["finetuned"], e["subsets"]
    passes = options["epochs"] * round(options["fraction"] * work.n)
    share = passes / (e["training"]["epochs"] * work.n)  # of the training of a base model
    yield work.trains("finetune_halves", options["models_per_job"], work.n).scaled(share)
    held = options["models"] + 1
    yield work.infers("measure_finetuned", work.q, e["outputs"]["timesteps"] * held, held)
    judged = subsets["eval"]["models"]
    models = subsets["tune"]["models"] + judged + options["models"]
    flops, wide = 0.0, 0
    for name in study["twins"]:
        one = work.methods[name]
        apart = one["features"]["timesteps"] if one["kernel"] == "per_t" else 0
        width = work.width(one["features"])
        flops += scores(work.n, work.q, width, work.dampings, models, apart)
        flops += scores(work.n, work.q, width, work.dampings, 0, apart)  # of the twin
        wide = max(wide, width)
    evaluated = work.q - len(kinds_of(e)) * e["queries"]["tuning"]
    points, methods = work.dampings * TRANSFORMS, len(study["twins"])
    drawn = float(e["lds"]["draws"] * judged * evaluated * points * len(TARGETS))
    amounts = {"kernel": flops / methods, "bootstrap": drawn}
    # transformed scores of the method and of its twin along the grid
    held = score_bytes(work.n, work.q, wide, work.n) + 16 * points * work.n * evaluated
    yield Cost("compare_dampings", amounts, memory=held)
    losses = 4 * points * len(TARGETS) * len(kinds_of(e)) * e["lds"]["draws"]
    yield Cost("summarise_dampings", {}, memory=losses * methods * (1 + len(study["sets"])))


def _groups(work: Workload) -> Iterator[Cost]:
    """Models without each group, their outputs, and the tables of groups and truths."""
    e, groups = work.experiment, work.experiment["groups"]
    count, seeds = groups["count"], groups["seeds"]
    yield Cost("choose_groups", {}, memory=work.n * (2 + count) * seeds)
    yield work.trains("train_groups_whole", 2 * seeds, work.n)
    yield work.trains("train_groups_rest", seeds, work.n)
    held = count + 3
    yield work.infers("measure_groups", work.q, e["outputs"]["timesteps"] * held, held)
    scores = 16 * work.n * max(work.queries.values())  # of one method, as they are and in float64
    drawn = 8 * e["lds"]["draws"] * (work.q + 20 * len(work.methods))
    yield Cost("summarise_groups", {}, memory=scores + 8 * count * work.n + drawn)
    pairs = 4 * e["lds"]["draws"] * len(work.methods) ** 2
    yield Cost("compare_truths", {}, memory=4 * len(work.methods) * work.n * work.q + pairs)


def _trajectory(work: Workload) -> Iterator[Cost]:
    """Subset models of a shard along the paths of the generated queries, and their LDS."""
    e, queries = work.experiment, work.queries["gen"]
    models, steps = e["subsets"]["models_per_job"], e["queries"]["sampling_steps"]
    times = steps + (models + 1) * e["trajectory"]["places"]
    yield work.infers("measure_trajectory", queries, times, models + 1)
    drawn = float(e["lds"]["draws"] * e["subsets"]["eval"]["models"] * queries * 3)
    memory = 8 * (len(work.methods) + 2) * work.n * queries
    yield Cost("evaluate_trajectory", {"bootstrap": drawn * len(work.methods)}, memory=memory)


def _readouts(work: Workload) -> Cost:
    """Features of all forms at once: one forward pass, a backward pass for each form."""
    features, images = work.experiment["features"], work.n + work.q
    draws, forms = (
        features["timesteps"] * features["draws"],
        len(ablation_design.forms(work.experiment)),
    )
    each = (1.0 + 2.0 * forms) * work.model.flops * draws
    flops = (each + forms * features["timesteps"] * work.projects(features)) * images
    memory = forms * work.timestep_memory(features)
    amounts = {f"features:{features['projection']}": flops}
    return Cost("compute_readouts", amounts, draws * forms * -(-images // 64), memory)


def _times(work: Workload) -> Cost:
    """One job that computes every timed method's features and kernels again."""
    total: dict[str, float] = {}
    memory = calls = 0
    for options in filter(ablation_design.timed, work.methods.values()):
        features, apart = options["features"], options["kernel"] == "per_t"
        kernels = features["timesteps"] if apart else 1
        cost = work.extracts("compute_timesteps" if apart else "compute_features", [features])
        width = work.width(features)
        held = score_bytes(work.n, work.q, width, work.n if apart else 0)
        held += 12 * kernels * (work.n + work.q) * width if apart else 0  # of all images at once
        memory = max(memory, cost.memory + held)
        parts = cost.work | {"kernel": kernels * decomposition(work.n, width)}
        for kind, amount in parts.items():
            total[kind] = total.get(kind, 0.0) + 2 * amount  # short methods are timed three times
        calls += features["timesteps"] * features["draws"] * -(-(work.n + work.q) // 64)
    return Cost("time_methods", total, calls, memory)


def _factor_rows(work: Workload) -> int:
    return len(work.experiment["ablation"]["residuals"]) * len(ablation_design.LEVERAGE)


def _cells(work: Workload) -> Cost:
    """LDS of every cell that shares one readout and noise."""
    e = work.experiment
    plan, subsets, t = e["ablation"], e["subsets"], e["features"]["timesteps"]
    n, q, wide, rows = work.n, work.q, e["features"]["dimensions"], _factor_rows(work)
    grid = work.dampings
    models, flops = subsets["tune"]["models"] + subsets["eval"]["models"], 0.0
    for kernel in plan["kernels"]:
        parts, examples = (1 if kernel == "averaged" else t), (t * n if kernel == "pooled" else n)
        small = min(examples, wide)
        decomposed = decomposition(examples, wide)
        flops += decomposed * (t if kernel == "per_t" else 1)
        flops += 2.0 * grid * parts * n * q * (small + TRANSFORMS * rows * models)
    rules = 2 + len(plan["fixed"])
    cells = len(plan["kernels"]) * rows * TRANSFORMS * len(TARGETS) * rules
    drawn = (
        e["lds"]["draws"]
        * subsets["eval"]["models"]
        * (q - len(kinds_of(e)) * e["queries"]["tuning"])
    )
    amounts = {"kernel": flops, "bootstrap": float(drawn * cells)}
    # one kernel at a time, and predictions along the grid
    most = t * n if "pooled" in plan["kernels"] else n
    memory = score_bytes(n, q, wide, most) + 16 * grid * rows * models * q
    return Cost("evaluate_cells", amounts, memory=memory)


def _drawn(work: Workload) -> int:
    """Bytes of the draws of all cells."""
    e = work.experiment
    plan = e["ablation"]
    cells = len(ablation_design.labels(e)) * _factor_rows(work) * len(plan["kernels"]) * TRANSFORMS
    return (
        4 * cells * len(kinds_of(e)) * len(TARGETS) * (2 + len(plan["fixed"])) * e["lds"]["draws"]
    )


def storage(work: Workload) -> dict[str, int]:
    """Bytes of the folder of each study: features by timestep, draws, outputs."""
    e = work.experiment
    sizes: dict[str, int] = {}
    if e["replay"]["fractions"]:
        replays = len(e["replay"]["fractions"]) * e["replay"]["halves"] + sum(e["replay"]["models"])
        sizes["replay"] = 4 * work.q * 2 * (replays + 1) + 8 * work.n * e["replay"]["queries"]
    if methods := len(e["dampings"]["twins"]):
        rows = work.dampings * TRANSFORMS * len(TARGETS) * len(kinds_of(e))
        measured = 4 * work.q * len(TARGETS) * e["dampings"]["finetuned"]["models"]
        sizes["dampings"] = measured + methods * rows * (4 * e["lds"]["draws"] + 300)
    if e["groups"]["by"]:
        measured = e["groups"]["seeds"] * (e["groups"]["count"] + 2)
        sizes["groups"] = measured * (4 * work.q * 2 + work.n)
    if places := e["trajectory"]["places"]:
        models = e["subsets"]["eval"]["models"] * e["subsets"]["eval"]["seeds"]
        sizes["trajectory"] = 4 * models * places * work.queries["gen"]
    if not ablation_design.wanted(e):
        return sizes
    numbers = e["features"]["timesteps"] * (work.n + work.q) * e["features"]["dimensions"]
    return sizes | {"ablation": 4 * len(ablation_design.labels(e)) * numbers + _drawn(work)}
