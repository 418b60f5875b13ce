"""Files and settings of features, residuals, embeddings and computed scores."""

import json

import pytest

from dasbench.experiments.files import features
from experiment_files import child, resolved


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def test_features_of_a_checkpoint_are_those_of_a_member(smoke):
    assert smoke["training"]["checkpoints"] == 2  # the second is the base model
    (first,) = (name for name in smoke.features if "checkpoint" in name)
    assert features.feature_model(smoke, first) == "results/changed/models/checkpoints/00"
    base = first.removesuffix("-checkpoint00")
    assert features.feature_model(smoke, base) == "results/changed/models/base"
    for name, folder in ((first, "checkpoints/00"), (base, "base")):
        files = features.feature_model_files(smoke, name)
        assert files[0] == f"results/changed/models/{folder}/model_index.json"


def test_a_set_of_features_has_its_settings_and_one_more_axis_for_a_draw(blank):
    ensemble = child(blank, methods={"das": {"ensemble": [{"draw": 1}]}})
    plain, drawn = (
        json.loads(features.feature_settings(ensemble, name)) for name in ensemble.features
    )
    assert (plain["axes"], drawn["axes"]) == (["smoke", 0], ["smoke", 0, "draw", 1])
    assert drawn["features"] == {**plain["features"], "draw": 1}


def test_one_more_method_leaves_the_features_of_the_others(blank, smoke):
    """Their settings are the same strings, so that nothing is computed again."""
    fewer = resolved(blank, methods={"das": {}, "dtrak": {}}, comparisons=[], removal={})
    assert set(fewer.features) < set(smoke.features)
    for name in fewer.features:
        assert features.feature_settings(fewer, name) == features.feature_settings(smoke, name)


def test_kernels_by_timestep_have_features_of_another_form(blank):
    stepwise = child(blank, methods={"das": {"kernel": "per_t"}})
    (name,) = stepwise.timesteps
    assert stepwise.features == {}
    assert list(json.loads(features.timestep_settings(stepwise, name))["sets"]) == ["by_timestep"]
    assert features.spectra(stepwise) == []
    assert features.spectra(child(blank)) == ["mean-normalised-keyed"]


def test_features_along_trajectories_are_those_of_the_method_that_needs_them(blank, smoke):
    (name,) = features.journeys(smoke)
    steps = json.loads(features.journey_settings(smoke, name))["sampling_steps"]
    assert steps == smoke["queries"]["sampling_steps"]
    assert features.journeys(child(blank)) == {}


def test_residuals_have_the_settings_of_their_name(smoke):
    scalar, released = (
        json.loads(features.residual_settings(smoke, name))["residuals"]
        for name in ("scalar", "released")
    )
    assert (scalar["timesteps"], released["timesteps"]) == (2, 5)


def test_a_clip_model_is_an_input_where_it_is_a_folder(blank, tmp_path):
    methods = {"embedding_cosine": {}}
    hub = child(blank, methods=methods, embedding={"model": "some/clip"})
    assert features.needs_embeddings(hub)
    assert not features.needs_embeddings(child(blank))
    assert features.embedding_files(hub, tmp_path) == []
    (tmp_path / "some/clip").mkdir(parents=True)
    (tmp_path / "some/clip/model.safetensors").touch()
    assert features.embedding_files(hub, tmp_path) == [
        "some/clip/config.json",
        "some/clip/model.safetensors",
    ]
    assert json.loads(features.embedding_settings(hub))["model"] == "some/clip"


def test_a_computed_method_depends_on_its_options_and_on_how_gradients_are_taken(blank, smoke):
    both = {"smoke": smoke, "child": child(blank, methods={"ekfac_if_common": {}})}
    assert features.computed_methods(both, "ekfac") == ["ekfac_if", "ekfac_if_common"]
    assert features.computed_methods(both, "nothing") == []
    common = json.loads(features.computed_settings(both["child"], "ekfac_if_common", ["damping"]))
    assert common["gradients"] == {
        "draws": 1,
        "noise": "common",
        "parameters": "weights",
        "timesteps": 2,
    }
    assert common["damping"] == smoke["damping"]
    keyed = json.loads(features.computed_settings(smoke, "ekfac_if"))
    assert "noise" not in keyed["gradients"]
    assert "damping" not in keyed
    steps = json.loads(features.computed_settings(smoke, "unlearning"))["gradients"]
    assert {"steps", "loss_timesteps"} < set(steps)


def test_draws_of_a_computed_method_are_those_of_the_features_unless_it_says_otherwise(blank):
    methods = {"many": {"like": "ekfac_if", "draws": 8}, "ekfac_stepwise": {"draws": 2}}
    made = child(blank, methods={**methods, "ekfac_if": {}})
    many, usual = (
        json.loads(features.computed_settings(made, name))["gradients"]
        for name in ("many", "ekfac_if")
    )
    assert many == {**usual, "draws": 8}
    assert json.loads(features.influence_settings(made, "ekfac_stepwise"))["gradients"] == {
        **usual,
        "draws": 2,
        "noise": "common",
        "effect": "loss",
        "stepwise": True,
    }


def test_influence_depends_on_the_dampings_only_where_it_has_some(blank):
    names = ("ekfac_displacement", "unlearning_plus")
    made = child(blank, methods={name: {} for name in names})
    assert features.computed_methods({"child": made}, "influence") == list(names)
    damped, forgetting = (json.loads(features.influence_settings(made, name)) for name in names)
    assert damped["damping"] == made["damping"]
    assert "damping" not in forgetting
    assert damped["computation"] == features.influence_module(made, names[0]) == "ekfac_stepwise"
    assert forgetting["gradients"]["ascent"] == "free"
