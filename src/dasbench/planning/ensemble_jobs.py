"""Costs and files of scores averaged over models, and of the study of such averages.

Letters as in ``dasbench.planning.workload``; F functions, S members.
"""

from __future__ import annotations

from collections.abc import Iterator

from dasbench.attribution.methods.ensembles import searched
from dasbench.core.query_kinds import TARGETS
from dasbench.core.query_kinds import of as kinds_of
from dasbench.diffusion.timestep_grids import timestep_grid
from dasbench.experiments.files.ensembles import STARTS
from dasbench.planning.job_cost import Cost
from dasbench.planning.kernel_cost import decomposition, score_bytes
from dasbench.planning.workload import Workload
from dasbench.registry import METHODS


def of(work: Workload) -> Iterator[Cost]:
    """Cost of one job of each rule."""
    methods = [o for o in work.methods.values() if o.get("computed") == "ensemble"]
    if methods:
        subsets = work.experiment["subsets"]
        per_job = subsets["models_per_job"] if subsets else 1
        steps = max(o["timesteps"] * min(per_job, o["models"]) for o in methods)
        yield _member(work, "compute_member", steps, work.q, 2)
    groups = work.experiment["ensembles"]["groups"]
    if groups:
        yield _explored(work)
        yield from _tables(work)


def _member(work: Workload, family: str, steps: float, queries: int, copies: int) -> Cost:
    """Features, kernels and scores of ``steps`` timesteps; scores are held ``copies`` times."""
    features = work.experiment["features"] | METHODS["das_stepwise"]["features"]
    grid, wide = len(searched(work.grid)), features["dimensions"]
    one = work.extracts("compute_timesteps", [features])
    share = steps / features["timesteps"] * (work.n + queries) / (work.n + work.q)
    amounts = {kind: amount * share for kind, amount in one.work.items()}
    small = min(work.n, wide)
    products = decomposition(work.n, wide) + 2.0 * grid * work.n * queries * small
    held = score_bytes(work.n, queries, wide, work.n) + 8 * copies * grid * work.n * queries
    memory = work.feature_memory(features) + 4 * (work.n + queries) * wide + held
    calls = max(1, int(one.calls * share))
    return Cost(family, amounts | {"kernel": steps * products}, calls, memory)


def _explored(work: Workload) -> Cost:
    """One member of the study: the mean over the members, memory of that with most timesteps."""
    e = work.experiment
    groups, models = e["ensembles"]["groups"], e["subsets"]["tune"]["models"]
    total = e["diffusion"]["timesteps"]
    steps = {
        name: len({t for count in group["timesteps"] for t in timestep_grid(count, total)})
        for name, group in groups.items()
    }
    members = {name: max(group["models"]) for name, group in groups.items()}
    mean = sum(steps[name] * members[name] for name in groups) / sum(members.values())
    grids = max(len(group["timesteps"]) for group in groups.values())
    queries = len(kinds_of(e)) * e["queries"]["tuning"]
    cost = _member(work, "explore_member", mean, queries, 2 * grids)
    functions = len(e["ensembles"]["functions"])
    numbers = len(searched(work.grid)) * work.n * queries * functions
    sums = 2.0 * (mean + grids) * numbers * models
    return cost._replace(work=cost.work | {"kernel": cost.work["kernel"] + sums})


def _tables(work: Workload) -> Iterator[Cost]:
    """The ranking and the additive bound."""
    from dasbench.evaluation import additive  # which import pandas
    from dasbench.evaluation.ensemble_ranking import MOST

    e = work.experiment
    plan, subsets = e["ensembles"], e["subsets"]
    queries = len(kinds_of(e)) * e["queries"]["tuning"]
    rows = sum(len(g["models"]) * len(g["timesteps"]) for g in plan["groups"].values())
    rows *= len(plan["functions"]) * len(plan["orders"])
    grid, models = len(searched(work.grid)), subsets["tune"]["models"]
    drawn = float(rows * min(MOST, e["lds"]["draws"]) * models * queries)
    products = 2.0 * rows * grid * work.n * queries * models
    memory = 24 * grid * work.n * queries
    yield Cost("rank_ensembles", {"kernel": products, "bootstrap": drawn}, memory=memory)
    models = subsets["eval"]["models"]
    starts = 1 + len(set(STARTS) & set(work.methods))
    fits = starts * len(additive.sizes(models)) * additive.FOLDS * additive.SHUFFLES * len(TARGETS)
    products = 2.0 * fits * models * work.n * (models + work.q)
    yield Cost("bound_additive", {"kernel": products}, memory=16 * work.n * work.q)


def storage(work: Workload) -> dict[str, int]:
    """Bytes of the study: predictions and means of every member."""
    e = work.experiment
    plan = e["ensembles"]
    if not plan["groups"]:
        return {}
    queries, grid = len(kinds_of(e)) * e["queries"]["tuning"], len(searched(work.grid))
    functions, models = len(plan["functions"]), e["subsets"]["tune"]["models"]
    each = 4 * grid * queries * (work.n + 2 * functions * models)
    counts = (max(group["models"]) * len(group["timesteps"]) for group in plan["groups"].values())
    return {"ensembles": each * sum(counts)}


def parts(work: Workload) -> int:
    """Bytes of the contributions to methods, of which ``network`` has the mean."""
    subsets = work.experiment["subsets"]
    per_job = subsets["models_per_job"] if subsets else 1
    methods = [o for o in work.methods.values() if o.get("computed") == "ensemble"]
    count = sum(-(-o["models"] // per_job) for o in methods)
    return 4 * count * len(searched(work.grid)) * work.n * work.q
