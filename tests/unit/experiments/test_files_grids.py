"""Files and settings of the study of grids."""

import json

import pytest

from dasbench.experiments.files import grids, models
from experiment_files import raw, resolved


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def test_every_evaluation_shard_is_measured_once(smoke):
    """Two seeds, two shards, two kinds of queries."""
    files = grids.grid_files(smoke)
    assert len(files) == len(set(files)) == 8
    assert files[0] == "results/changed/grids/seed-0/shard-000/val.npy"
    shard = models.shard_files(smoke, "eval", 1, "001")
    assert grids.grid_models(smoke, "1", "001") == [f for f in shard if "masks" not in f]


def test_a_measurement_depends_on_the_process_and_the_comparison_on_the_methods(blank, smoke):
    fewer = resolved(blank, methods={"das": {}}, comparisons=[], removal={})
    assert grids.grid_settings(fewer) == grids.grid_settings(smoke)
    assert json.loads(grids.grid_settings(smoke))["timesteps"] == 1000
    values = json.loads(grids.grid_comparison_settings(fewer))
    assert values["methods"] == {"val": ["das"], "gen": ["das"]}
    assert (values["shards"], values["seeds"]) == (["000", "001"], [0, 1])
    more = resolved(blank, subsets={**raw()["subsets"], "eval": {"models": 16, "seeds": 2}})
    assert grids.grid_settings(more) == grids.grid_settings(smoke)
