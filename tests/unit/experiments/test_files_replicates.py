"""Files and settings of replicates."""

import json

import pytest

from dasbench.experiments import config
from dasbench.experiments.files import replicates
from dasbench.experiments.files.resolved import Resolved
from experiment_files import child


@pytest.fixture(scope="module")
def family(blank):
    """Smoke, a child, and replicates with another base model, other features, and both."""
    again = child(blank, "again", replicate={"base": 1, "features": 0})
    return {
        "again": again,
        "both": Resolved(again | {"name": "both", "replicate": {"base": 0, "features": 3}}),
        "drawn": child(blank, "drawn", replicate={"base": 0, "features": 2}),
        "other": child(blank, "other"),
        "smoke": Resolved(config.load("smoke", blank)),
    }


def test_replicates_belong_to_their_root(family):
    assert replicates.replicates(family["smoke"], family) == ["again", "both", "drawn"]
    assert replicates.replicates(family["again"], family) == []
    assert [name for name, e in family.items() if replicates.has_base(e)] == ["again"]


def test_all_are_compared_by_their_draws(family):
    files = replicates.replicate_summaries(family["smoke"], family)
    assert files[:2] == ["results/smoke/lds/summary.csv", "results/again/lds/summary.csv"]
    values = json.loads(replicates.replicate_settings(family["smoke"], family))
    assert values["draws"] == {
        "smoke": {"base": 0, "features": 0},
        "again": {"base": 1, "features": 0},
        "both": {"base": 1, "features": 3},  # its base model is that of its parent
        "drawn": {"base": 0, "features": 2},
    }
    assert values["comparisons"] == family["smoke"]["comparisons"]
