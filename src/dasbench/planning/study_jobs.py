"""Costs and files of the studies beside the methods: the ablation, and the timing of methods."""

from __future__ import annotations

from collections.abc import Iterator

from dasbench.core.query_kinds import TARGETS
from dasbench.core.query_kinds import of as kinds_of
from dasbench.experiments import ablation_design
from dasbench.planning.job_cost import Cost
from dasbench.planning.kernel_cost import TRANSFORMS, decomposition, score_bytes
from dasbench.planning.workload import Workload


def of(work: Workload) -> Iterator[Cost]:
    """Cost of one job of each rule of the experiment's studies."""
    if work.experiment["acceleration"]["reference"]:
        yield _times(work)
        yield Cost("relate_costs", {})
    if ablation_design.wanted(work.experiment):
        yield _readouts(work)
        yield _cells(work)
        yield Cost("summarise_ablation", {}, memory=_drawn(work))


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
    """Bytes of the ablation's folder: features by timestep, and draws."""
    e = work.experiment
    if not ablation_design.wanted(e):
        return {}
    numbers = e["features"]["timesteps"] * (work.n + work.q) * e["features"]["dimensions"]
    return {"ablation": 4 * len(ablation_design.labels(e)) * numbers + _drawn(work)}
