"""What a child shares with a parent: files of equal settings, and no others."""

import functools

import pytest

from dasbench.experiments.files import inherited, phases
from experiment_files import load_family, make_repository

METHODS = {"das": {}, "mine": {"like": "das", "features": {"timesteps": 3}}, "ekfac_if": {}}


@pytest.fixture
def family(tmp_path):
    """Load smoke with children: name -> sections."""
    return functools.partial(load_family, make_repository(tmp_path / "root"), METHODS)


def needed(experiment):
    return phases.compared_files(experiment)


def test_a_child_computes_only_what_its_parent_has_not(family):
    child = family(child={})["child"]
    files = needed(child)
    mine = {file for file in files if file.startswith("results/child/")}
    assert any("features/mean-normalised-keyed/train.npy" in f for f in set(files) - mine)
    assert {f.split("/")[2] for f in set(files) - mine} == {"features", "residuals", "network"}
    assert {f.split("/")[3] for f in mine} == {"mean-normalised-keyed-T3", "scalar-T3.npy"} | {
        f.split("/")[3] for f in mine if "spectrum" in f
    }
    spectrum = [file for file in files if "keyed/spectrum" in file]
    assert spectrum
    assert all(file.startswith("results/smoke/") for file in spectrum)


def test_names_may_differ_where_settings_do_not(family):
    """The child's usual T is another; the set of the parent's usual T has another name in it."""
    child = family(
        child={
            "features": {"timesteps": 5},
            "methods": {"das": {"features": {"timesteps": 2}}, "dtrak": {}},
        }
    )["child"]
    ours = "results/child/features/mean-normalised-keyed-T2/train.npy"
    assert inherited.path(child, ours) == "results/smoke/features/mean-normalised-keyed/train.npy"
    assert inherited.decomposed(child, "mean-normalised-keyed-T2").startswith("results/smoke/")
    own = "results/child/features/square-keyed/train.npy"
    assert inherited.path(child, own) == own


@pytest.mark.parametrize(
    "sections",
    [
        {"replicate": {"features": 1}},
        {"replicate": {"base": 1}},
        {"features": {"dimensions": 128}, "methods": {"das": {}}},
    ],
)
def test_other_draws_models_and_sizes_share_no_features(family, sections):
    files = needed(family(child=sections)["child"])
    assert not [file for file in files if file.startswith("results/smoke/features")]


def test_the_root_comes_first(family):
    everyone = family(child={}, grandchild={"parent": "child"})
    files = needed(everyone["grandchild"])
    assert any(file.startswith("results/child/features/mean-normalised-keyed-T3") for file in files)
    assert any(file.startswith("results/smoke/features/mean-normalised-keyed/") for file in files)
    assert not any(file.startswith("results/grandchild/features") for file in files)


def test_the_cells_of_an_ablation_have_their_residuals_in_one_folder(family):
    ablation = {"readouts": ["square", "mean"], "noise": ["keyed"], "residuals": ["none", "scalar"]}
    files = needed(family(child={"ablation": ablation})["child"])
    assert "results/child/residuals/scalar.npy" in files


def test_a_root_shares_nothing(family):
    smoke = family()["smoke"]
    assert all(file.startswith("results/smoke/") for file in needed(smoke))
