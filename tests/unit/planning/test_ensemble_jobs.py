"""Costs and files of averages over models."""

import pytest

from dasbench.planning import ensemble_jobs, rule_costs, storage, workload
from dasbench.planning.kernel_cost import decomposition
from experiment_files import load, make_repository, raw

SHAPE = (1, 8, 8)
N, QUERIES, TUNING, GRID = 120, 24, 8, 12  # images of smoke; dampings from 1e-3 on
GROUPS = {
    "base": {"models": [1], "timesteps": [1, 3, 9]},
    "tune": {"models": [2, 4], "timesteps": [3]},
}


@pytest.fixture
def work_of(tmp_path):
    root = make_repository(tmp_path)

    def make(**sections):
        data = {**raw(), "removal": {}, "comparisons": [], "methods": {"random": {}}}
        return workload.Workload(load(root, {**data, **sections}), SHAPE)

    return make


def test_a_members_job_is_its_passes_and_kernels(work_of):
    work = work_of(methods={"das_ensemble": {"models": 4, "timesteps": 3}})
    costs = rule_costs.of(work)
    steps = 4 * 3  # four models in a job
    each = 3 * work.model.flops * (N + QUERIES)
    assert costs["compute_member"].work["features:kronecker"] == pytest.approx(steps * each)
    kernels = decomposition(N, 1024) + 2.0 * GRID * N * QUERIES * N
    assert costs["compute_member"].work["kernel"] == pytest.approx(steps * kernels)
    assert costs["compute_ensemble"].work["kernel"] == 2.0 * GRID * N * QUERIES * (4 + 1)
    more = work_of(methods={"das_ensemble": {"models": 4, "timesteps": 6}})
    more = rule_costs.of(more)["compute_member"]
    assert more.work["kernel"] == pytest.approx(2 * steps * kernels)
    assert more.memory == costs["compute_member"].memory  # of one timestep


def test_stored_scores_are_those_of_one_damping_or_of_the_searched_part(work_of):
    one = work_of(methods={"das_ensemble": {"models": 4, "timesteps": 3}})
    assert one.computed_dampings(one.methods["das_ensemble"]) == 1
    parts = 4 * GRID * N * QUERIES  # of one job
    assert ensemble_jobs.parts(one) == parts
    assert storage.folders(one, 0)["network"] == 4 * N * QUERIES + parts
    assert ensemble_jobs.parts(work_of()) == 0


def test_a_study_counts_timesteps_that_grids_share_once(work_of):
    assert "explore_member" not in rule_costs.of(work_of())
    assert "ensembles" not in storage.folders(work_of(), 0)
    work = work_of(ensembles={"groups": GROUPS, "functions": ["square", "abs_3"]})
    costs = rule_costs.of(work)
    mean = (9 * 1 + 3 * 4) / 5  # 1 and 3 of the base are among its 9
    each = 3 * work.model.flops * (N + TUNING)
    found = costs["explore_member"].work["features:kronecker"]
    assert found == pytest.approx(mean * each)
    one = 4 * GRID * TUNING * (N + 2 * 2 * 4)  # tau, and predictions of two functions and orders
    assert storage.folders(work, 0)["ensembles"] == one * (3 + 4)
    assert {"rank_ensembles", "bound_additive"} <= set(costs)
