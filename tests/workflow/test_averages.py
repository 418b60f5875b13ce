"""Averages over models in miniature: the study, and the methods as others in the same tables."""

import re

import numpy as np
import pytest
from plans import counts

from dasbench.core.tables import load_table

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

STUDY = """title: averages over models in miniature
parent: smoke
damping: {mantissas: [1], exponents: [-3, -1]}
methods:
  das_stepwise: {features: {timesteps: 3, dimensions: 1024}}
  das_ensemble: {models: 4, timesteps: 3}
  das_ensemble_full: {models: 2, timesteps: 1}
ensembles:
  groups:
    base: {models: [1], timesteps: [1, 3]}
    full: {models: [2], timesteps: [1]}
    tune: {models: [2, 4], timesteps: [3]}
  functions: [square, abs_3]
  orders: [each, whole]
comparisons:
  - {a: das_ensemble, b: das_stepwise}
"""


@pytest.fixture
def study(copy):
    (copy.folder / "config/experiments/averages.yaml").write_text(STUDY)
    return copy


def planned(clone, *flags):
    """Jobs of the ranking, and what the plan says of them."""
    text = clone.run("-n", *flags, "--", "ranking_averages").stdout
    table = text.rsplit("Job stats:", 1)[1].split("total", 1)[0]
    return dict(re.findall(r"^(\w+) +(\d+)$", table, flags=re.M)), text


def test_the_ranking_needs_nothing_of_the_evaluation_subsets(study):
    jobs, _ = planned(study, "--quiet", "host", "reason")
    ours = {"rank_ensembles": "1", "plot_ensembles": "1", "ranking_averages": "1"}
    assert jobs == {"explore_member_averages": "6", **ours}
    # nor if all that it is made of had to be made again
    jobs, text = planned(study, "-p", "--forceall")
    assert {"train_subsets_tune_smoke", "gather_outputs"} <= set(jobs)
    assert "train_subsets_eval_smoke" not in jobs
    assert "models/tune/seed-0" in text
    assert "models/eval" not in text
    assert "outputs/eval" not in text


def test_a_study_and_its_methods_stand_in_the_same_tables(study):
    assert study.plan("averages") == counts(study, "averages")["averages"]
    before = study.hashes("smoke")
    study.run("averages")
    home = study.folder / "results/averages"
    assert study.hashes("smoke") == before
    assert study.plan("averages") == {}
    ranking = load_table(home / "ensembles/tuning.csv")
    assert (home / "figures/ensembles.svg").is_file()
    sizes = ranking.groupby("group").size()
    assert sizes.to_dict() == {"base": 16, "full": 8, "tune": 16}  # two kinds of queries
    assert ranking.mean_lds.is_monotonic_decreasing
    bound = load_table(home / "ensembles/additive.csv")
    assert bound.evaluation_outputs.all()
    # the base model alone is das_stepwise: the ranking has the LDS by which its damping is chosen
    chosen = load_table(home / "lds/methods/das_stepwise/selection.csv")
    grid = load_table(home / "lds/summary.csv")
    assert set(grid.method) == {"das_stepwise", "das_ensemble", "das_ensemble_full"}
    square = chosen[chosen["transform"] == "square"].set_index("queries")
    row = ranking[(ranking.group == "base") & (ranking.timesteps == 3)]
    row = row[(row.order == "each") & (row.function == "square")].set_index("queries")
    for kind in ("val", "gen"):
        assert row.lds[kind] <= square.lds[kind] + 1e-9  # one damping for both kinds
        if row.damping[kind] == square.damping[kind]:
            assert row.lds[kind] == pytest.approx(square.lds[kind], abs=1e-6)
    tune = load_table(home / "lds/methods/das_ensemble/selection.csv")
    assert tune.lds.isna().all()  # of its own models
    assert (grid[grid.method == "das_ensemble"].M_tune == 4).all()
    assert (grid[grid.method == "das_ensemble_full"].M_tune == 0).all()
    scores = np.load(home / "network/das_ensemble/val.npy")
    own = np.load(home / "scores/das_ensemble/val.npy")
    np.testing.assert_allclose(own, scores[0], rtol=1e-6)
    damping = np.load(home / "network/das_ensemble/dampings.npy")
    row = ranking[(ranking.group == "tune") & (ranking.models == 4)]
    row = row[(row.order == "each") & (row.function == "square")]
    assert set(row.damping) == set(damping)
