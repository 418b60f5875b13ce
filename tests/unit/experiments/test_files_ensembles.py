"""Files and settings of averages over models."""

import json

import pytest

from dasbench.experiments import config
from dasbench.experiments.files import ensembles, inherited, phases
from dasbench.experiments.files.resolved import Resolved, load_all
from experiment_files import ROOT, child, resolved

GROUPS = {
    "base": {"models": [1], "timesteps": [1, 3, 9]},
    "full": {"models": [2], "timesteps": [3, 1]},
    "tune": {"models": [2, 4], "timesteps": [3]},
}
METHODS = {
    "das_stepwise": {},
    "das_ensemble": {"models": 4},
    "das_ensemble_full": {"models": 2, "timesteps": 3},
}
REMOVAL = {"methods": ["das_stepwise"], "k": [2], "null_models": 1}


@pytest.fixture
def study(blank):
    """Smoke, which has four tuning models and a null model, with a study and methods."""
    more = {"removal": REMOVAL, "comparisons": []}
    return resolved(blank, ensembles={"groups": GROUPS}, methods=METHODS, **more)


def test_members_are_the_models_of_the_root(study):
    home = "results/changed/models"
    assert ensembles.group_members(study, "full") == {
        "base": f"{home}/base",
        "full-01": f"{home}/removal/null/k-0/set-0",
    }
    tune = ensembles.group_members(study, "tune")
    assert list(tune) == [f"tune-{k:03d}" for k in range(4)]
    assert tune["tune-003"] == f"{home}/tune/seed-0/shard-000/03"
    files = ensembles.model_files(study, ["base", "tune-001"])
    assert f"{home}/base/unet/config.json" in files
    assert f"{home}/tune/seed-0/shard-000/01/unet/config.json" in files


def test_models_are_found_in_later_shards():
    e = load_all(ROOT)["ensembles"]
    tune = ensembles.group_members(e, "tune")
    assert tune["tune-017"] == "results/digits/models/tune/seed-0/shard-002/01"
    assert list(ensembles.group_members(e, "full"))[-1] == "full-04"


def test_a_member_goes_through_the_timesteps_of_all_its_groups(study):
    assert ensembles.studied_members(study) == {
        "base": [1, 3, 9],
        "full-01": [1, 3],
        **{f"tune-{k:03d}": [3] for k in range(4)},
    }
    values = json.loads(ensembles.explore_settings(study, "full-01"))
    assert values["grids"] == [1, 3]
    recipe = {"readout": "loss", "noise": "common", "normalise": False, "dimensions": 1024}
    assert recipe.items() <= values["features"].items()


def test_an_ensemble_takes_the_first_members_of_each_half(blank):
    subsets = {"models_per_job": 4, "tune": {"models": 16}, "eval": {"models": 8}}
    methods = {"das_ensemble": {"models": 10}}
    e = resolved(blank, subsets=subsets, methods=methods, removal={}, comparisons=[])
    parts = ensembles.method_parts(e, "das_ensemble")
    assert parts == {
        "0-000": [f"tune-{k:03d}" for k in range(4)],
        "0-001": ["tune-004"],
        "1-000": [f"tune-{k:03d}" for k in range(8, 12)],
        "1-001": ["tune-012"],
    }


def test_the_ranking_reads_no_output_of_the_evaluation_subsets(study):
    inputs = ensembles.ranking_inputs(study)
    assert not [file for file in inputs if "eval" in file]
    assert "results/changed/outputs/tune/loss-val.npy" in inputs
    values = json.loads(ensembles.ranking_settings(study))
    assert values["groups"]["full"]["timesteps"] == [1, 3]
    assert values["grids"]["tune-002"] == [3]


def test_the_bound_reads_the_outputs_of_the_evaluation_subsets_and_the_scores_that_it_starts_from(
    study,
):
    inputs, folder = ensembles.bound_inputs(study), "results/changed"
    assert f"{folder}/outputs/eval/displacement-val.npy" in inputs
    scores = [file for file in inputs if "/outputs/eval/" not in file]
    assert scores == [f"{folder}/scores/{name}/{k}.npy" for name in METHODS for k in ("val", "gen")]
    assert json.loads(ensembles.bound_settings(study))["starts"] == list(METHODS)


def test_a_method_of_tuning_models_chooses_by_tuning_data_alone(study):
    files = ensembles.choosing_files(study, "das_ensemble")
    assert "results/changed/outputs/tune/loss-gen.npy" in files
    assert not [file for file in files if "eval" in file]
    assert ensembles.choosing_flag(study, "das_ensemble") == "--home results/changed"
    assert ensembles.choosing_files(study, "das_ensemble_full") == []
    assert ensembles.choosing_flag(study, "das_ensemble_full") == ""
    values = json.loads(ensembles.method_settings(study, "das_ensemble"))
    assert values["parts"] == {"0-000": 2, "1-000": 2}
    assert len(ensembles.part_files(study, "das_ensemble")) == 4


def test_tables_are_phases(study, blank):
    made = phases.phase_files(study, {})
    figures = [f"results/changed/figures/ensembles.{form}" for form in ("svg", "png")]
    assert made["ranking"] == ["results/changed/ensembles/tuning.csv", *figures]
    assert made["bound"] == ["results/changed/ensembles/additive.csv"]
    without = resolved(blank)
    assert not {"ranking", "bound"} & set(phases.phase_files(without, {}))
    assert ensembles.study_files(without, ensembles.TUNING_TABLE) == []


@pytest.mark.parametrize(
    ("change", "shares"), [({}, True), ({"timesteps": 1}, False), ({"order": "whole"}, False)]
)
def test_a_child_takes_the_parents_average_if_it_is_the_same(study, blank, change, shares):
    options = {**METHODS["das_ensemble"], **change}
    e = child(blank, methods={"das_ensemble": options})
    parent = Resolved({**study, "name": "smoke", "seed_name": "smoke", "base_home": "smoke"})
    e.parents = (parent,)
    file = "results/{}/network/das_ensemble/val.npy"
    found = inherited.path(e, file.format("child"))
    assert found == file.format("smoke" if shares else "child")


def test_the_number_of_full_data_models_is_that_of_the_root(blank):
    assert resolved(blank, removal=REMOVAL, comparisons=[])["full_models"] == 2
    assert resolved(blank, removal={}, comparisons=[])["full_models"] == 1
    assert child(blank)["full_models"] == 1 + config.load("smoke", blank)["removal"]["null_models"]
