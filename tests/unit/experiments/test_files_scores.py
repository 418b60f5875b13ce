"""Files and settings of methods; test_method_files.py says which files they may not be given."""

import json

import pytest

from dasbench.attribution import method_files
from dasbench.experiments.files import scores
from experiment_files import child, resolved

QUERIES = [
    f"results/smoke/queries/{name}"
    for name in ("val.npy", "val_labels.npy", "gen.npy", "gen_labels.npy", "uses.json")
]


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def files_of(experiment, method):
    return method_files.files(method, experiment)


def splits(folder):
    return [f"{folder}/{split}.npy" for split in ("train", "val", "gen")]


def test_the_files_of_das_and_their_options(blank):
    """A child's features and residuals are its own, examples and queries its parent's."""
    young = child(blank)
    features = "results/child/features/mean-normalised-keyed"
    spectrum = [f"{features}/spectrum/{name}.npy" for name in ("eigenvalues", "eigenvectors")]
    residuals = "results/child/residuals/scalar.npy"
    assert files_of(young, "das") == {
        "examples": "results/smoke/examples/train.npz",
        "queries": QUERIES,
        "features": splits(features),
        "spectrum": spectrum,
        "residuals": residuals,
    }
    assert method_files.paths(files_of(young, "das")) == [
        "results/smoke/examples/train.npz",
        *QUERIES,
        *splits(features),
        *spectrum,
        residuals,
    ]
    assert method_files.flags(files_of(young, "das")) == (
        "--examples results/smoke/examples/train.npz --queries results/smoke/queries"
        f" --features {features} --spectrum {features}/spectrum --residuals {residuals}"
    )


def test_kernels_by_timestep_read_features_by_timestep(blank):
    files = files_of(child(blank, methods={"das": {"kernel": "per_t"}}), "das")
    folder = "results/child/features/mean-normalised-keyed"
    assert files["timesteps"] == splits(f"{folder}/by_timestep")
    assert files["residuals-by-timestep"] == "results/child/residuals/scalar-by_timestep.npy"
    assert not {"features", "spectrum"} & set(files)


def test_a_vector_residual_brings_the_gradients_of_the_loss(blank):
    """They are averaged also where the probes' features are by timestep."""
    probes = "results/child/features/probe-rademacher4-keyed"
    loss = "results/child/features/loss-keyed-P64-oversampling8"
    averaged, pooled = (
        files_of(child(blank, methods={"das_vector": {"kernel": kernel}}), "das_vector")
        for kernel in ("averaged", "pooled")
    )
    assert averaged["features"] == splits(probes) + splits(loss)
    assert pooled["timesteps"] == splits(f"{probes}/by_timestep")
    assert pooled["features"] == splits(loss)


def test_a_computed_method_reads_its_scores_and_a_tuned_one_the_tuning_outputs(smoke):
    folder = "results/changed/network/ekfac_if"
    assert files_of(smoke, "ekfac_if")["computed"] == [
        f"{folder}/{name}.npy" for name in ("dampings", "val", "gen")
    ]
    files = files_of(smoke, "datamodel")
    assert files["tuning-masks"] == "results/changed/masks/tune.npy"
    assert files["tuning-gen"] == "results/changed/outputs/tune/loss-gen.npy"


def test_scores_from_elsewhere_are_files_of_the_users(blank):
    theirs = child(blank, methods={"theirs": {"scores": {"val": "a.npy", "gen": "b.npy"}}})
    flags = method_files.flags(files_of(theirs, "theirs"))
    assert flags.endswith("--scores-val a.npy --scores-gen b.npy")


def test_a_partial_method_has_scores_of_its_kinds_alone(smoke):
    assert scores.partial_methods({"smoke": smoke}) == ["journey_trak"]
    files = scores.score_files(smoke)
    assert "results/changed/scores/journey_trak/gen.npy" in files
    assert "results/changed/scores/journey_trak/val.npy" not in files
    assert "results/changed/scores/das/val.npy" in files
    one = json.loads(scores.method_settings(smoke, "journey_trak"))
    assert one["kinds"] == ["gen"]
    assert "inapplicable" not in one["options"]


def test_settings_have_the_method_and_the_sections_of_the_rule(smoke):
    score = json.loads(scores.method_settings(smoke, "das"))
    assert score["kinds"] == ["val", "gen"]
    assert score["transform"] == "square"
    assert "transform" not in score["options"]
    assert json.loads(scores.method_settings(smoke, "das", "gen"))["kinds"] == ["gen"]
    judged = json.loads(scores.method_settings(smoke, "das", names=["damping", "lds"]))
    assert judged == {**score, "damping": smoke["damping"], **smoke["lds"]}
    assert smoke.methods["das"]["transform"] == "square"  # and the options are left as they were


def test_the_ranking_reads_nothing_but_the_choice_of_dampings(blank):
    young = child(blank, methods={"das": {}, "dtrak": {}})
    folder = "results/child/lds/methods"
    assert scores.tuning_tables(young) == [
        f"{folder}/das/selection.csv",
        f"{folder}/dtrak/selection.csv",
    ]
    transforms = json.loads(scores.tuning_settings(young))["transforms"]
    assert transforms == {"das": "square", "dtrak": "identity"}
