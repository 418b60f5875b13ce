"""Files and settings of the comparison of cost and quality."""

import json

import pytest

from dasbench.experiments.files import costs
from experiment_files import child


@pytest.fixture(scope="module")
def timed(blank):
    methods = {
        "das": {},
        "das_once": {"like": "das", "features": {"timesteps": 1, "timestep_range": [0, 500]}},
        "das_per_t": {"like": "das", "kernel": "per_t"},
        "das_more": {"like": "das", "ensemble": [{"draw": 1}]},
        "random": {},
    }
    return child(blank, methods=methods, acceleration={"reference": "das"})


def test_methods_with_one_set_of_features_are_timed(timed):
    methods = costs.timed_methods(timed)
    assert list(methods) == ["das", "das_once", "das_per_t"]
    assert [m["kernel"] for m in methods.values()] == ["averaged", "averaged", "per_t"]
    assert [m["shown"]["timestep_range"] for m in methods.values()] == ["all", "[0, 500]", "all"]
    assert methods["das_once"]["residuals"]["timestep_range"] == [0, 500]
    assert methods["das_per_t"]["residuals"]["by_timestep"] is True
    assert json.loads(costs.time_settings(timed))["methods"] == methods


def test_times_are_related_to_the_lds_of_the_timed_methods(blank, timed):
    files = costs.timed_tables(timed)
    assert len(files) == 9
    assert files[0] == "results/child/lds/methods/das/selection.csv"
    assert json.loads(costs.relate_settings(timed)) == {
        "axes": ["smoke", 0],
        "level": 0.95,
        "reference": "das",
    }
    assert costs.has_times(timed)
    assert not costs.has_times(child(blank))
