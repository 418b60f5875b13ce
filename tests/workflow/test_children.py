"""An experiment on another's models: every study in miniature, and what it leaves alone."""

import json
import re

import numpy as np
import pytest
from plans import counts

from dasbench.core.tables import load_table
from dasbench.evaluation import ablation_effects, output_grids

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

CHILD = """title: every study in miniature
parent: smoke
features: {dimensions: 128}
methods:
  dtrak: {}
  das: {}
  das_per_t: {like: das, kernel: per_t}
  das_pooled: {like: das, kernel: pooled}
  das_more: {like: das, ensemble: [{draw: 1}]}
  das_once: {like: das, features: {timesteps: 1, timestep_range: [0, 500]}}
  das_unprojected: {like: das, features: {projection: none, norms: exact}}
ablation: {readouts: [square, mean], noise: [keyed], residuals: [none, scalar]}
acceleration: {reference: das}
"""
REPLICATE = """title: another base model and other features
parent: smoke
replicate: {base: 1, features: 1}
methods: {dtrak: {}, das: {}}
"""
DAMPINGS = """title: rules for the damping
parent: smoke
methods:
  das: {}
  das_other: {like: das, features: {draw: 1}}
  das_stepwise: {features: {timesteps: 3, dimensions: 64}}
  stepwise_other: {like: das_stepwise, features: {timesteps: 3, dimensions: 64, draw: 1}}
dampings:
  twins: {das: das_other, das_stepwise: stepwise_other}
  sets: [same]
  finetuned: {models: 4, models_per_job: 2, epochs: 1, learning_rate: 0.01}
"""
STUDY = """title: without each of some classes, and without the lowest scores
parent: smoke
methods:
  random: {}
  class_match: {}
  pixel_rbf: {}
  das: {}
  trak: {leverage: true}
groups: {by: label, count: 3, seeds: 2}
removal: {methods: [das], bottom: [das], k: [12], queries: 1, random_sets: 1, null_models: 1}
"""
OUTCOME = ["queries", "target"]


@pytest.fixture
def child(copy):
    for name, text in (("child", CHILD), ("again", REPLICATE), ("study", STUDY)):
        (copy.folder / f"config/experiments/{name}.yaml").write_text(text)
    return copy


def test_a_child_makes_its_studies_and_nothing_of_its_parent(child):
    assert child.plan("child") == counts(child, "child")["child"]
    before = child.hashes("smoke")
    child.run("child")
    home = child.folder / "results/child"
    assert not (home / "models").exists()
    assert child.hashes("smoke") == before
    assert child.plan("child") == {}
    cells, summary = (load_table(home / f"{t}.csv") for t in ("ablation/cells", "lds/summary"))
    das = ablation_effects.METHODS["das"]
    same = {"das_per_t": {"kernel": "per_t"}, "das_pooled": {"kernel": "pooled"}, "das": {}}
    for name, change in same.items():
        for rule in ("held_out", "oracle"):
            mine = cells
            for factor, value in {**das, **change, "damping_rule": rule}.items():
                mine = mine[mine[factor] == value]
            row = summary[(summary.method == name) & summary.own & (summary.selection == rule)]
            both = mine.merge(row, on=OUTCOME)
            assert len(both) == 4
            np.testing.assert_allclose(both.lds_x, both.lds_y, atol=1e-9)
            np.testing.assert_allclose(both.lo_x, both.lo_y, atol=1e-6)
    gains = load_table(home / "ablation/gains.csv")
    assert set(gains.after) == {"das"}
    costs = load_table(home / "cost-quality.csv")
    timed = {"dtrak", "das", "das_per_t", "das_once", "das_unprojected"}  # of one set
    assert set(costs.method) == timed
    pairs = load_table(home / "lds/comparisons.csv").set_index(["a", "b"])
    projected = pairs.loc[("das_unprojected", "das")]  # what experiment projections is made of
    assert (projected.lo <= projected.hi).all()
    assert json.loads((home / "cost-speedup.json").read_text())["reference"] == "das"
    assert 'id="ablation"' in (home / "report.html").read_text()


def test_a_replicate_trains_its_own_base_model_and_keeps_the_rest(child):
    plan = child.plan("again")
    assert plan["train_base_again"] == 1
    assert not any(rule.startswith(("train_subsets", "make_queries", "measure")) for rule in plan)
    before = child.hashes("smoke")
    child.call("snakemake", "--quiet", "all", "--", "replicates_smoke")
    made = child.hashes("smoke")
    assert {path: made[path] for path in before} == before
    weights = "models/base/unet/diffusion_pytorch_model.safetensors"
    assert (
        len({made[f"results/smoke/{weights}"], child.hashes("again")[f"results/again/{weights}"]})
        == 2
    )
    table = load_table(child.folder / "results/smoke/replicates/summary.csv")
    assert set(table.method[table.replicates == 2]) == {"dtrak", "das"}


def test_fewer_timesteps_are_compared_with_all_and_nothing_else_is_made(copy):
    before = copy.hashes("smoke")
    copy.call("snakemake", "--quiet", "all", "--", "grids_smoke")
    after = copy.hashes("smoke")
    assert {path: after[path] for path in before} == before
    home = copy.folder / "results/smoke"
    assert all(path.startswith("results/smoke/grids/") for path in set(after) - set(before))
    table, summary = (load_table(home / f"{name}.csv") for name in ("grids/lds", "lds/summary"))
    assert set(table.method) == set(summary.method)
    assert len(load_table(home / "grids/outputs.csv")) == 2 * len(output_grids.GRIDS)


def test_rules_for_the_damping_are_judged_as_the_methods_are(copy):
    """On smoke and its twin of equal files: other sets have the same tuning data."""
    for name, text in (("few", DAMPINGS), ("same", DAMPINGS.replace("  sets: [same]\n", ""))):
        (copy.folder / f"config/experiments/{name}.yaml").write_text(text)
    assert copy.plan("same") == counts(copy, "same")["same"]
    before = copy.hashes("smoke")
    copy.call("snakemake", "--quiet", "all", "--", "rules_few")
    assert copy.hashes("smoke") == before
    home = copy.folder / "results/few"
    assert not (home / "lds").exists()
    assert (home / "figures/damping-rules.svg").is_file()
    rules = load_table(home / "dampings/rules.csv")
    key = ["method", "transform", *OUTCOME]
    summary = load_table(copy.folder / "results/smoke/lds/summary.csv")
    for rule, selection in (("each_kind", "held_out"), ("oracle", "oracle")):
        mine = rules[(rules.rule == rule) & (rules.experiment == "few")]
        both = mine.merge(summary[summary.selection == selection], on=key)
        assert len(both) == len(mine) == 2 * 3 * 2 * 2
        for column in ("damping", "lds", "lo", "hi"):
            np.testing.assert_allclose(both[f"{column}_x"], both[f"{column}_y"], atol=1e-6)
    assert (rules.lost[rules.rule == "oracle"] == 0).all()
    assert (rules.lost >= 0).all()
    picks = rules[rules.experiment == "few"].pivot(index=key, columns="rule", values="damping")
    assert (picks.other_sets == picks.each_kind).all()
    assert (picks.other_together == picks.together).all()
    kinds = picks[["each_kind", "other_median"]].groupby(["method", "transform", "target"])
    assert (kinds["other_median"].max() == kinds["each_kind"].max()).all()  # the upper of two
    models = sorted((home / "models/finetuned").rglob("*.safetensors"))
    base = copy.folder / "results/smoke/models/base/unet/diffusion_pytorch_model.safetensors"
    assert len({model.read_bytes() for model in [*models, base]}) == len(models) + 1 == 5
    masks = np.concatenate([np.load(f) for f in (home / "models/finetuned").rglob("masks.npy")])
    assert (masks.sum(1) == 60).all()
    assert len(np.unique(masks, axis=0)) == 4
    for kind in ("val", "gen"):
        assert len(np.unique(np.load(home / f"dampings/outputs/loss-{kind}.npy"))) == 4 * 12


def test_groups_are_left_out_and_truths_compared_with_the_scores_of_the_parent(child):
    before = child.hashes("smoke")
    child.call("snakemake", "--quiet", "all", "--", "left_out_study", "truths_study")
    home = child.folder / "results/study"
    assert child.hashes("smoke") == before
    assert {path.name for path in (home / "scores").iterdir()} == {"trak"}  # its options are others
    summary, general = (load_table(home / f"groups/{t}.csv") for t in ("summary", "general"))
    assert set(summary.method) == {"random", "class_match", "pixel_rbf", "das", "trak"}
    assert (general.top == 10).all()
    truths, missing = (load_table(home / f"groups/{t}.csv") for t in ("truths", "missing"))
    assert {"loss", "groups-others-displacement", "removal-12"} <= set(truths.truth)
    assert set(truths.source) == {"smoke", "study"}
    assert missing.truth.tolist() == ["exact"]
    # a study that is made later enters the table, and nothing else is made again
    child.call("snakemake", "--quiet", "all", "--", "removal_study")
    again = child.call("snakemake", "-n", "--quiet", "host", "reason", "--", "truths_study")
    planned = re.findall(r"^(\w+) +\d+$", again.stdout + again.stderr, flags=re.M)
    assert set(planned) == {"compare_truths", "plot_truths", "truths_study", "total"}
    arms = load_table(home / "removal/summary.csv").method
    assert {"das", "bottom-das", "random", "null"} == set(arms)
    plans = [np.load(home / f"removal/plan/{a}das/k-12/masks.npy") for a in ("", "bottom-")]
    assert not (~plans[0] & ~plans[1]).any()  # the 12 highest and the 12 lowest
    assert [mask.sum() for mask in plans] == [108, 108]
