"""Files, settings and checks of the study of dampings."""

import json

import pytest

from dasbench.errors import UserError
from dasbench.experiments import residual_sets
from dasbench.experiments.files import dampings, phases, resolved
from experiment_files import ROOT, raw
from experiment_files import resolved as changed

METHODS = {
    "das": {},
    "das_other": {"like": "das", "features": {"draw": 1}},
    "das_stepwise": {"features": {"timesteps": 3, "dimensions": 64}},
    "stepwise_other": {
        "like": "das_stepwise",
        "features": {"timesteps": 3, "dimensions": 64, "draw": 2},
    },
    "trak": {},
}
TWINS = {"das": "das_other", "das_stepwise": "stepwise_other"}
SECTIONS = {"methods": METHODS, "comparisons": [], "removal": {}}


def section(**finetuned):
    return {"twins": TWINS, "finetuned": {"models": 8, "models_per_job": 4, **finetuned}}


@pytest.fixture
def study(blank):
    return changed(blank, **SECTIONS, dampings=section())


def test_fine_tuned_models_are_files_of_shards(study):
    assert dampings.shards(study) == ["000", "001"]
    pattern, folder = dampings.shard_files(study), "results/changed/models/finetuned"
    assert pattern[0] == f"{folder}/shard-{{shard}}/masks.npy"
    every = dampings.finetuned_files(study)
    assert every == [f.format(shard=s) for s in ("000", "001") for f in pattern]
    assert dampings.finetuned_masks(study) == [
        f"{folder}/shard-{s}/masks.npy" for s in ("000", "001")
    ]


def test_a_shard_depends_on_its_recipe_alone(study, blank):
    values = json.loads(dampings.finetune_settings(study))
    assert values["fraction"] == 0.5
    assert values["models_per_job"] == 4
    assert (values["training"]["epochs"], values["training"]["learning_rate"]) == (2, 1e-4)
    assert values["training"]["batch_size"] == study["training"]["batch_size"]
    more = changed(blank, **SECTIONS, dampings=section(models=16))
    assert dampings.finetune_settings(more) == dampings.finetune_settings(study)
    assert json.loads(dampings.measure_settings(more))["shards"] == ["000", "001", "002", "003"]
    assert study["training"]["epochs"] == more["training"]["epochs"] == 2


def test_a_curve_depends_on_both_draws(study):
    values = json.loads(dampings.curve_settings(study, "das_stepwise"))
    first, other = values["options"], values["twin"]
    assert other["features"].pop("draw") == 2
    assert first == other
    assert "transform" not in first
    assert dampings.residual_file(study, "das") == "results/changed/residuals/scalar.npy"
    by_timestep = residual_sets.sets(study)["scalar-T3-by_timestep"]
    assert by_timestep == {
        "kind": "scalar",
        "timesteps": 3,
        "timestep_rule": "midpoint",
        "draws": 1,
        "by_timestep": True,
    }


def test_the_tables_join_experiments(study):
    other = resolved.Resolved({**study, "name": "other"})
    whole = resolved.Resolved({**study, "dampings": {**study["dampings"], "sets": ["other"]}})
    experiments = {"changed": whole, "other": other}
    files = dampings.summary_inputs(whole, experiments)
    assert files[0] == "results/changed/dampings/methods/das/curve.csv"
    assert files[-1] == "results/other/dampings/methods/das_stepwise/losses.npy"
    assert len(files) == len(set(files)) == 2 * 2 * 2
    values = json.loads(dampings.summary_settings(whole, experiments))
    assert values["sets"] == {"changed": list(TWINS), "other": list(TWINS)}
    assert values["own"] == {"das": "square", "das_stepwise": "square"}
    without = {"changed": whole, "other": resolved.Resolved({**other, "dampings": {"twins": {}}})}
    for wrong in ({"changed": whole}, without):
        with pytest.raises(UserError, match="dampings.sets has other, whose file has no section"):
            dampings.summary_inputs(whole, wrong)


def test_the_study_is_a_phase_where_there_is_one(study, blank):
    files = phases.phase_files(study, {})["rules"]
    assert files[:3] == [f"results/changed/dampings/{t}.csv" for t in ("curve", "rules", "overall")]
    assert files[3:] == [f"results/changed/figures/damping-rules.{f}" for f in ("svg", "png")]
    assert dampings.rule_files(changed(blank)) == []
    assert "rules" not in phases.phase_files(changed(blank), {})


def test_the_studies_of_the_data_sets_have_the_same_rules():
    every = resolved.load_all(ROOT)
    first = every["dampings"]
    assert list(dampings.joined(first, every)) == ["dampings", "dampings_fashion", "dampings_emoji"]
    for name in first["dampings"]["sets"]:
        same = {key: v for key, v in every[name]["dampings"].items() if key != "sets"}
        assert same == {key: first["dampings"][key] for key in same}
        assert every[name]["methods"] == first["methods"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"twins": {"das": "nobody"}}, "dampings.twins.das names nobody, expected one of"),
        ({"twins": {"das": "trak"}}, "is trak, expected the same options but for features.draw"),
        ({"twins": {"das": "das"}}, "is das, expected the same options but for features.draw"),
        (
            {"finetuned": {"models": 9}},
            "is 9, expected a multiple of dampings.finetuned.models_per",
        ),
        ({"finetuned": {"fraction": 1e-9}}, "is 1e-09, expected a share that keeps at least one"),
        ({"sets": ["smoky"]}, "is smoky, expected one of the experiments: .*did you mean smoke"),
    ],
    ids=["absent", "other", "same", "shards", "share", "set"],
)
def test_a_mistake_is_one_sentence(blank, change, sentence):
    with pytest.raises(UserError, match=sentence):
        changed(blank, **SECTIONS, dampings=section() | change)


def test_a_study_needs_one_kernel_and_judges(blank):
    pooled = {"das": {"kernel": "pooled"}, "other": {"like": "das", "kernel": "pooled"}}
    data = {"methods": pooled, "dampings": {"twins": {"das": "other"}}}
    with pytest.raises(UserError, match="has a score of another form; expected one set"):
        changed(blank, **{**SECTIONS, **data})
    data = {**SECTIONS, "dampings": section(), "queries": {**raw()["queries"], "val": 0}}
    with pytest.raises(UserError, match="dampings.twins needs held-out images, and queries.val is"):
        changed(blank, **data)
    data = {**SECTIONS, "dampings": section(), "subsets": None}
    with pytest.raises(UserError, match="dampings.twins needs subset models, which judge dampings"):
        changed(blank, **data)
