"""What every computation of the rule compute_influence must do; a new one joins by its method."""

import numpy as np
import pytest

import curvature_problem
from curvature_problem import AXES, IDS, SETTINGS
from dasbench.gradients import influence
from dasbench.registry import METHODS

NAMES = [name for name, options in METHODS.items() if options.get("computed") == "influence"]


@pytest.mark.parametrize("name", NAMES)
def test_blocks_hold_every_score_once(name):
    options = METHODS[name]
    network, process, images = curvature_problem.make()
    settings = {**SETTINGS, "draws": 1, **options}
    queries, ids = {"val": images["val"], "gen": images["train"][:2]}, np.array(IDS["train"])
    given = (network, process, settings, AXES, images["train"], ids, queries)
    problem = influence.Problem(*given, np.array([0.01, 0.1, 1.0]))
    module = influence.computation(options["computation"])
    values = module.values(problem)
    np.testing.assert_array_equal(values, options.get("steps", problem.dampings))
    counts = {kind: np.zeros((len(values), 4, len(x)), int) for kind, x in queries.items()}
    for block in module.blocks(problem):
        assert np.isfinite(block.scores).all()
        part = counts[block.kind][:, block.rows, block.columns]
        assert part.shape == block.scores.shape
        part += 1
    assert list(counts) == ["val", "gen"]
    assert all((count == 1).all() for count in counts.values())
