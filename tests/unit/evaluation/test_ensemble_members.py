"""What is kept of a member against loops."""

import numpy as np
import pytest

import oracle_ensembles
from dasbench.attribution import ensembles as averages
from dasbench.evaluation import ensemble_members

N, Q, P, M = 12, 5, 6, 8
DAMPINGS = [1e-2, 0.3]
FUNCTIONS = list(averages.FUNCTIONS)
GRIDS = [np.array([20]), np.array([10, 20, 30])]


@pytest.mark.parametrize(("grid", "rows"), [(0, [1]), (1, [0, 1, 2])])
@pytest.mark.parametrize("damping", range(2))
def test_explore_keeps_the_predictions_and_means_of_loops(grid, rows, damping):
    rng = np.random.default_rng(6)
    masks = np.stack([rng.permutation(N) < N // 2 for _ in range(M)])
    g, g_q = (rng.standard_normal((3, n, P)).astype(np.float32) for n in (N, Q))
    passes = [(10 * t + 10, {"train": g[t], "gen": g_q[t]}) for t in range(3)]
    kept = ensemble_members.explore(passes, GRIDS, masks, DAMPINGS, FUNCTIONS)["gen"]
    member = [(g[rows], g_q[rows])]
    mean = oracle_ensembles.average(member, DAMPINGS[damping], "identity", "each")
    np.testing.assert_allclose(kept.means[grid, damping], mean, rtol=1e-5, atol=1e-7)
    for o, order in enumerate(("each", "member")):
        for f, function in enumerate(FUNCTIONS):
            scores = oracle_ensembles.average(member, DAMPINGS[damping], function, order)
            expected = [[scores[mask, q].sum() for q in range(Q)] for mask in masks]
            found = kept.predictions[grid, o, f, damping]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    one = kept.at(grid)
    np.testing.assert_array_equal(one.means, kept.means[grid])
    np.testing.assert_array_equal(one.predictions, kept.predictions[grid])
