"""Jobs and files of the studies beside the methods, for ``dasbench.planning.workload``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dasbench.core.query_kinds import KINDS, TARGETS
from dasbench.experiments import ablation_design
from dasbench.planning.job_groups import Group
from dasbench.planning.kernel_cost import TRANSFORMS, decomposition, score_bytes

if TYPE_CHECKING:
    from dasbench.planning.workload import Workload


def groups(work: Workload) -> Iterator[Group]:
    """Jobs of a replicate's base model, of the ablation and the timing, where there are any."""
    if work.experiment["replicate"]["base"]:
        yield work.trains("train_base", 1, 1, work.n)
    if work.experiment["acceleration"]["reference"]:
        yield from _times(work)
    if not ablation_design.wanted(work.experiment):
        return
    e = work.experiment
    plan, features, images = e["ablation"], e["features"], work.n + work.q
    draws, wide = features["timesteps"] * features["draws"], features["dimensions"]
    forms = len(ablation_design.forms(e))
    # a forward pass for all, a backward pass for each form
    each = (1.0 + 2.0 * forms) * work.model.flops * draws
    flops = (each + forms * features["timesteps"] * work.projects(features)) * images
    memory = 8 * forms * features["timesteps"] * images * wide
    family, kind = "compute_readouts", f"features:{features['projection']}"
    calls = draws * forms * -(-images // 64)
    jobs = len(plan["noise"])
    yield Group(f"{family}_{work.name}", family, jobs, {kind: flops}, calls, memory)
    yield _cells(work, len(ablation_design.labels(e)))
    yield Group("summarise_ablation", "summarise_ablation", 1, {}, memory=_drawn(work))


def _times(work: Workload) -> Iterator[Group]:
    chosen = [o for o in work.methods.values() if ablation_design.timed(o)]
    total: dict[str, float] = {}
    memory = calls = 0
    for options in chosen:
        features, apart = options["features"], options["kernel"] == "per_t"
        kernels = features["timesteps"] if apart else 1
        family = "compute_timesteps" if apart else "compute_features"
        (group,) = work.extracts(family, [features])
        wide = work.wide(features)
        own = score_bytes(work.n, work.q, wide, kernels if apart else 0)
        memory = max(memory, group.memory + own)
        parts = dict(group.work) | {"kernel": kernels * decomposition(work.n, wide)}
        for kind, amount in parts.items():
            total[kind] = total.get(kind, 0.0) + 2 * amount  # short ones are timed thrice
        calls += features["timesteps"] * features["draws"] * -(-(work.n + work.q) // 64)
    yield Group("time_methods", "time_methods", 1, total, calls, memory)
    yield Group("relate_costs", "relate_costs", 1, {})


def _factor_rows(work: Workload) -> int:
    return len(work.experiment["ablation"]["residuals"]) * len(ablation_design.LEVERAGE)


def _cells(work: Workload, jobs: int) -> Group:
    e = work.experiment
    plan, subsets, t = e["ablation"], e["subsets"], e["features"]["timesteps"]
    n, q, wide, rows = work.n, work.q, e["features"]["dimensions"], _factor_rows(work)
    first, last = e["damping"]["exponents"]
    grid = len(e["damping"]["mantissas"]) * (last - first + 1)
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
        e["lds"]["draws"] * subsets["eval"]["models"] * (q - len(KINDS) * e["queries"]["tuning"])
    )
    work_of = {"kernel": flops, "bootstrap": float(drawn * cells)}
    # the pooled kernel's rotated examples, every t's vectors, predictions along the grid
    memory = 8 * t * n * (min(t * n, wide) + min(n, wide)) + 16 * grid * rows * models * q
    return Group("evaluate_cells", "evaluate_cells", jobs, work_of, memory=memory)


def _drawn(work: Workload) -> int:
    """Bytes of the draws of all cells."""
    e = work.experiment
    plan = e["ablation"]
    cells = len(ablation_design.labels(e)) * _factor_rows(work) * len(plan["kernels"]) * TRANSFORMS
    return 4 * cells * len(KINDS) * len(TARGETS) * (2 + len(plan["fixed"])) * e["lds"]["draws"]


def storage(work: Workload) -> dict[str, int]:
    """Bytes of the ablation's folder: features by timestep, and draws."""
    e = work.experiment
    if not ablation_design.wanted(e):
        return {}
    numbers = e["features"]["timesteps"] * (work.n + work.q) * e["features"]["dimensions"]
    return {"ablation": 4 * len(ablation_design.labels(e)) * numbers + _drawn(work)}
