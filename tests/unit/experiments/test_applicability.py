"""Methods with several feature sets, or that do not apply everywhere: options, checks, files."""

import numpy as np
import pytest

from dasbench.attribution import method_inputs
from dasbench.attribution.input_files import Files
from dasbench.core import artifacts
from dasbench.errors import UserError
from dasbench.experiments import config, feature_sets
from dasbench.registry import METHODS
from experiment_files import load, raw
from tiny import AXES

REASON = "a held-out image has no sampling trajectory"


def test_a_checkpoint_has_features_of_its_own_and_the_last_is_the_base_model(blank):
    data = raw()
    data["training"].update(epochs=7, checkpoints=3)
    data["methods"]["late"] = {"like": "gas", "checkpoints": [2, 0]}
    experiment = load(blank, data)
    assert config.checkpoints(experiment) == [2, 4, 7]
    methods = config.methods(experiment)
    plain = methods["gradient_dot"]["features"]
    assert feature_sets.of_method(methods["tracincp"], experiment) == {
        "loss-keyed-checkpoint00": {**plain, "checkpoint": 0},
        "loss-keyed-checkpoint01": {**plain, "checkpoint": 1},
        "loss-keyed": plain,
    }
    late = feature_sets.of_method(methods["late"], experiment)
    assert list(late) == ["loss-keyed-checkpoint00", "loss-keyed"]
    assert "loss-keyed-checkpoint02" not in feature_sets.sets(experiment)


def test_one_epoch_is_kept_once(blank):
    data = raw()
    data["training"].update(epochs=1, checkpoints=5, warmup_steps=1)
    experiment = load(blank, data)
    assert config.checkpoints(experiment) == [1]
    assert list(feature_sets.of_method(config.methods(experiment)["gas"], experiment)) == [
        "loss-keyed"
    ]


def test_methods_that_apply_nowhere_are_left_out_with_a_reason(blank):
    experiment = load(blank, raw())
    reasons = config.inapplicable(experiment)
    assert set(reasons) == {"journey_trak", "embedding_dot", "embedding_cosine"}
    assert reasons["journey_trak"] == {"val": REASON}
    assert set(reasons["embedding_dot"]) == {"val", "gen"}
    assert "embedding_dot" not in config.methods(experiment)
    assert config.kinds(config.methods(experiment)["journey_trak"]) == ("gen",)
    assert config.kinds(config.methods(experiment)["das"]) == ("val", "gen")
    data = raw()
    data["embedding"] = {"model": "models/clip-tiny"}
    experiment = load(blank, data)
    assert set(config.inapplicable(experiment)) == {"journey_trak"}
    assert config.kinds(config.methods(experiment)["embedding_dot"]) == ("val", "gen")
    assert feature_sets.of_method(config.methods(experiment)["embedding_dot"], experiment) == {}


def changed(**methods):
    data = raw()
    data["methods"] |= methods
    return data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (changed(gas={"checkpoints": [0, 2]}), r"gas\.checkpoints is \[0, 2\].* from 0 to 1"),
        (changed(gas={"checkpoints": "last"}), r"checkpoints is \"last\", expected all or a list"),
        (changed(das={"checkpoints": "all"}), r"checkpoints is not an option of this method"),
        (changed(das={"features": {"readout": "probe"}}), r"das\.features\.probes has no probe"),
        (changed(das_probes={"features": {"readout": "mean"}}), r"readout is mean, expected probe"),
        (
            changed(das_probes={"features": {"probes": {"constant": 2}}}),
            r"probes\.constant is 2, expected an integer .* at most 1",
        ),
        (
            changed(das_probes={"features": {"dimensions": 3}}),
            r"das_probes\.features\.probes are 4, expected at most .* 3",
        ),
        (changed(mine={"like": "trak", "journey": True}), r"journey is not a known key"),
        (changed(trak={"inapplicable": {"val": "no"}}), r"inapplicable is not a known key"),
    ],
)
def test_what_does_not_fit_is_told(blank, data, says):
    with pytest.raises(UserError, match=says):
        load(blank, data)


@pytest.mark.parametrize("name", ["embedding_dot", "journey_trak"])
def test_removal_needs_scores_of_generated_images(blank, name):
    data = raw() | {"comparisons": []}
    data["removal"]["methods"] = [name]
    if name == "journey_trak":
        assert load(blank, data)["removal"]["methods"] == [name]
        return
    with pytest.raises(UserError, match=f"has {name}, which has no scores of generated images"):
        load(blank, data)


def test_a_name_tells_the_probes(blank):
    data = changed(das_probes={"features": {"probes": {"constant": 0, "cosine": 5}}})
    experiment = load(blank, data)
    (name,) = feature_sets.of_method(config.methods(experiment)["das_probes"], experiment)
    assert name == "probe-cosine5-normalised-keyed"
    assert METHODS["das_probes"]["features"]["probes"]["constant"] == 1  # the registry's own


@pytest.fixture
def folder(tmp_path):
    """Files of 5 training examples and 3 queries, with two sets of features and a journey."""
    rng = np.random.default_rng(0)
    images = np.zeros((5, 4, 6, 2), np.uint8)
    artifacts.save_examples(tmp_path / "train.npz", images, np.zeros(5), np.arange(5))
    artifacts.save_array(tmp_path / "q/gen.npy", rng.random((3, 2, 4, 6)).astype("f4"))
    artifacts.save_array(tmp_path / "q/gen_labels.npy", np.zeros(3, np.int64))
    artifacts.save_array(tmp_path / "journey.npy", rng.random((3, 7)).astype("f4"))
    for name in "ab":
        for split, n in {"train": 5, "gen": 3}.items():
            artifacts.save_array(tmp_path / name / f"{split}.npy", rng.random((n, 7)).astype("f4"))
    return tmp_path


def inputs(folder, **more):
    files = Files(folder / "train.npz", folder / "q", **more)
    return method_inputs.load(files, "gen", AXES, {})


def test_several_sets_come_in_the_order_given(folder):
    given = inputs(folder, features=(folder / "b", folder / "a"))
    np.testing.assert_array_equal(given.train_features, np.load(folder / "b/train.npy"))
    np.testing.assert_array_equal(given.query_features, np.load(folder / "b/gen.npy"))
    ((train, query),) = given.others
    np.testing.assert_array_equal(train, np.load(folder / "a/train.npy"))
    np.testing.assert_array_equal(query, np.load(folder / "a/gen.npy"))
    ((_, some),) = given.about([2, 0]).others
    np.testing.assert_array_equal(some, query[[2, 0]])
    (folder / "a/gen.npy").unlink()
    with pytest.raises(UserError, match=r"a/gen\.npy is missing"):
        inputs(folder, features=(folder / "b", folder / "a"))


def test_a_journey_stands_in_for_the_queries_features(folder):
    given = inputs(folder, features=(folder / "a",), journey=folder / "journey.npy")
    np.testing.assert_array_equal(given.train_features, np.load(folder / "a/train.npy"))
    np.testing.assert_array_equal(given.query_features, np.load(folder / "journey.npy"))


COMPUTED = [
    n for n, options in METHODS.items() if options.get("computed", "ensemble") != "ensemble"
]


@pytest.mark.parametrize("method", COMPUTED)
def test_gradients_without_their_condition_are_refused(blank, method):
    data = raw()
    data["model"]["num_class_embeds"] = 10
    data["methods"][method] = {}
    with pytest.raises(
        UserError, match=rf"methods\.{method} .+ condition of this one is classes; leave it out"
    ):
        load(blank, data)


def test_averages_over_models_take_conditions(blank):
    data = raw()
    data["model"]["num_class_embeds"] = 10
    data["methods"] = {"das": {}, "pixel_cosine": {}, "das_ensemble": {"models": 4}}
    data |= {"removal": {}, "comparisons": []}
    assert "das_ensemble" in config.methods(load(blank, data))


def test_the_noise_of_ekfac_changes_its_settings_alone(blank):
    data = raw()
    data["methods"]["mine"] = {"like": "ekfac_if", "noise": "common"}
    methods = config.methods(load(blank, data))
    assert methods["mine"]["noise"] == "common"
    data["methods"]["mine"]["noise"] = "batch"
    with pytest.raises(UserError, match="batch"):
        load(blank, data)


@pytest.mark.parametrize(
    ("method", "overrides", "words"),
    [
        ("das", {"draws": 2}, "draws is not an option of this method"),
        ("ekfac_stepwise", {"computation": "unlearning_plus"}, "computation"),
        ("gradient_cosine_stepwise", {"by_timestep": False}, "by_timestep"),
        ("unlearning_plus", {"ascent": "steep"}, "steep"),
        (
            "nda",
            {"grid": {"width": [1]}},
            "width is no parameter of this method; expected timestep",
        ),
    ],
)
def test_options_that_a_method_does_not_have_are_refused(method, overrides, words, blank):
    data = raw()
    data["methods"][method] = overrides
    with pytest.raises(UserError, match=words):
        load(blank, data)
