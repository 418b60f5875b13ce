"""Files and settings of the ablation."""

import json

import pytest

from dasbench.experiments.files import ablation
from experiment_files import child


@pytest.fixture(scope="module")
def crossed(blank):
    plan = {"readouts": ["mean"], "noise": ["keyed", "common"], "residuals": ["none", "scalar"]}
    return child(blank, ablation={**plan, "kernels": ["averaged", "per_t"]})


def test_features_of_every_form_and_noise_policy(crossed):
    assert ablation.readout_files(crossed) == [
        f"results/child/ablation/features/{form}-{{noise}}/{split}.npy"
        for form in ("mean", "mean-normalised")
        for split in ("train", "val", "gen")
    ]
    sets = json.loads(ablation.readout_settings(crossed, "common"))["sets"]
    assert sorted(sets) == ["mean-common", "mean-normalised-common"]


def test_cells_read_the_residuals_of_their_kernels(crossed):
    assert ablation.cell_residuals(crossed) == {
        "averaged": {"none": None, "scalar": "scalar"},
        "per_t": {"none": None, "scalar": "scalar-by_timestep"},
    }
    assert ablation.cell_residual_files(crossed) == [
        "results/child/residuals/scalar.npy",
        "results/child/residuals/scalar-by_timestep.npy",
    ]


def test_cells_on_each_set_of_features(crossed):
    assert len(ablation.cell_tables(crossed)) == 2 * 4
    values = json.loads(ablation.cell_settings(crossed, "mean-normalised-common"))
    assert values["labels"] == {"readout": "mean", "normalise": True, "noise": "common"}
    assert values["order"] == {"kernels": ["averaged", "per_t"], "residuals": ["none", "scalar"]}
    assert json.loads(ablation.ablation_settings(crossed))["sets"] == [
        "mean-keyed",
        "mean-normalised-keyed",
        "mean-common",
        "mean-normalised-common",
    ]


def test_the_gains_are_there_where_an_ablation_is(blank, crossed):
    assert ablation.ablation_gains(crossed) == ["results/child/ablation/gains.csv"]
    assert ablation.ablation_flag(crossed) == "--gains results/child/ablation/gains.csv"
    none = child(blank)
    assert (ablation.ablation_gains(none), ablation.ablation_flag(none)) == ([], "")
