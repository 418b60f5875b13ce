"""The files of each phase, and that no two experiments share one that they make."""

import pytest

from dasbench.experiments import config
from dasbench.experiments.files import resolved
from dasbench.experiments.files.phases import phase_files
from experiment_files import ROOT, child

ALL = resolved.load_all(ROOT)
SMALL = ("smoke", "digits", "removals", "acceleration", "ablation", "replicate_b1_f1", "search")


def phases(name):
    return phase_files(ALL[name], ALL)


def test_every_phase_is_known_and_each_known_one_occurs():
    """Their names are reserved, and dvc.yaml has a stage of most."""
    names = {phase for name in ALL for phase in phases(name)}
    assert names == {*config.PHASES, *config.STUDIES}


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_makes_files_of_its_folder_alone(name):
    for phase, files in phases(name).items():
        assert files or phase == "features", phase
        pool = [f"data/{config.pool_name(ALL[name])}/"] * (phase == "pool")
        assert all(file.startswith((f"results/{name}/", *pool)) for file in files), phase


def test_a_child_has_no_phases_of_its_parents(blank):
    young = child(blank)
    assert set(phase_files(young, {"child": young})) == {
        "features",
        "scores",
        "report",
        "tuning",
        "lds",
    }


def test_studies_are_phases_where_they_are():
    assert "costs" in phases("acceleration")
    assert "effects" in phases("ablation")
    assert "removal" in phases("removals")
    assert "replicates" in phases("digits")
    assert not {"costs", "effects", "replicates"} & set(phases("smoke"))
    base = phases("replicate_b1")["base"]
    assert base[0] == "results/replicate_b1/models/base/model_index.json"


def test_scores_alone_are_judged_by_nothing():
    e = resolved.Resolved(ALL["smoke"] | {"subsets": None})
    names = set(phase_files(e, ALL))
    assert not {"tune", "eval", "outputs", "lds", "tuning"} & names
    assert phase_files(e, ALL)["report"] == ["results/smoke/report.html"]


def test_the_features_of_smoke_in_all_their_forms():
    """One file of each set is enough to ask for the job that makes it."""
    files = phases("smoke")["features"]
    kinds = ("/train.npy", "/by_timestep/train.npy", "/spectrum/eigenvalues.npy", "/journey.npy")
    assert all(any(file.endswith(kind) for file in files) for kind in kinds)
    assert "results/smoke/residuals/scalar.npy" in files
    assert "results/smoke/network/ekfac_if/dampings.npy" in files
    assert not any("embeddings" in file for file in files)
