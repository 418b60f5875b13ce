"""Averages over models, judged on tuning data: against loops, and where the best one is known."""

import numpy as np
import pandas as pd
import pytest

import oracle
import oracle_ensembles
from dasbench.attribution import ensembles as averages
from dasbench.attribution.methods import interface
from dasbench.evaluation import ensemble_members, ensemble_ranking
from dasbench.registry import METHODS
from stepwise import inputs, predicted

N, Q, P, M = 12, 5, 6, 8
DAMPINGS = [1e-2, 0.3]
FUNCTIONS = list(averages.FUNCTIONS)
GRIDS = [np.array([20]), np.array([10, 20, 30])]
SETTINGS = {
    **{"functions": FUNCTIONS, "orders": list(averages.ORDERS), "dampings": DAMPINGS},
    **{"draws": 50, "level": 0.95, "axes": ["tests", 0]},
}


@pytest.fixture(scope="module")
def masks():
    rng = np.random.default_rng(5)
    return np.stack([rng.permutation(N) < N // 2 for _ in range(M)])


@pytest.fixture(scope="module")
def members():
    """Features [T, N, P] and [T, Q, P] at timesteps 10, 20 and 30 of M members."""
    rng = np.random.default_rng(6)
    sizes = ((3, N, P), (3, Q, P))
    return [tuple(rng.standard_normal(s).astype(np.float32) for s in sizes) for _ in range(M)]


def passes(member):
    g, g_q = member
    return [(10 * t + 10, {"train": g[t], "val": g_q[t]}) for t in range(3)]


@pytest.fixture(scope="module")
def explored(members, masks):
    kept = [ensemble_members.explore(passes(m), GRIDS, masks, DAMPINGS, FUNCTIONS) for m in members]
    return {(f"m{k}", kind): v for k, one in enumerate(kept) for kind, v in one.items()}


@pytest.fixture(scope="module")
def ranking(masks):
    truth = np.random.default_rng(7).standard_normal((M, Q))
    return ensemble_ranking.Ranking(masks, {"val": truth}, SETTINGS)


def of_grid(member, k):
    """The member's features at the timesteps of a grid."""
    rows = [1] if k == 0 else [0, 1, 2]
    return tuple(part[rows] for part in member)


def rows_of(ranking, explored, name, models, timesteps=(1, 3)):
    group = ensemble_ranking.Group(name, [f"m{k}" for k in range(M)], list(models), list(timesteps))
    grids = {f"m{k}": [1, 3] for k in range(M)}
    return pd.DataFrame(ranking.judge(group, explored, grids))


def expected_lds(members, masks, truth, damping, function, order, split):
    each = []
    for chosen, subsets in split:
        used = [of_grid(members[m], 1) for m in chosen]
        scores = oracle_ensembles.average(used, damping, function, order)
        each.append(oracle.lds(masks[subsets], scores, truth[None][:, subsets]))
    return float(np.mean(each))


@pytest.mark.parametrize(
    ("group", "models", "split"),
    [
        ("full", 3, [([0, 1, 2], list(range(M)))]),
        ("tune", 4, [([0, 1], [4, 5, 6, 7]), ([4, 5], [0, 1, 2, 3])]),
    ],
)
def test_a_row_has_the_lds_of_loops(members, masks, explored, ranking, group, models, split):
    table = rows_of(ranking, explored, group, [models], [3])
    assert len(table) == 22
    for row in table[table.function.isin(("square", "abs_1.5"))].itertuples():
        given = members, masks, ranking.truth["val"]
        form = row.function, row.order, split
        lds = [expected_lds(*given, damping, *form) for damping in DAMPINGS]
        assert row.lds == pytest.approx(max(lds), abs=1e-9)
        assert row.damping == DAMPINGS[int(lds[1] >= lds[0])]
        assert row.lo <= row.hi
        assert (row.edge, row.mean_lds) == (True, row.lds)


def test_costs_stand_beside_the_lds(explored, ranking):
    full, tune = (rows_of(ranking, explored, name, [4]).iloc[-1] for name in ("full", "tune"))
    for row, trained, judged in ((full, 3, 4), (tune, 4, 2)):
        assert (row.passes, row.relative_passes) == (12, 0.12)
        assert (row.trained, row.judged) == (trained, judged)


def test_the_base_model_squared_on_each_timestep_is_das_stepwise(members, masks, explored, ranking):
    """The method's own route: predictions, and the LDS by which its damping is chosen."""
    options, (g, g_q) = METHODS["das_stepwise"], members[0]
    points = interface.grid(options, DAMPINGS)
    method = predicted(options, inputs(g, g_q, None), points, masks).sums["square"]
    row = FUNCTIONS.index("square")
    found = explored["m0", "val"].predictions[1, 0, row]
    np.testing.assert_allclose(found, method, rtol=1e-5)
    table = rows_of(ranking, explored, "base", [1], [3])
    square = table[(table.order == "each") & (table.function == "square")]
    truth = {"val": [ranking.truth["val"]]}
    choice = ensemble_ranking.choose({"val": [method]}, truth)
    assert float(square.lds.iloc[0]) == pytest.approx(choice.lds["val"], abs=1e-9)


def test_a_fold_never_judges_a_member_by_its_own_subset():
    for size in (2, 6, 8):
        split = ensemble_ranking.folds(size, 8, cross=True)
        assert sum(len(fold.members) for fold in split) == size
        for fold in split:
            assert len(fold.subsets) == 4
            assert not set(fold.members) & set(fold.subsets)
    (fold,) = ensemble_ranking.folds(3, 8, cross=False)
    assert (fold.members.tolist(), fold.subsets.tolist()) == ([0, 1, 2], list(range(8)))


def planted(noise, own=0.0):
    """What is kept of members that know the truth up to noise, and how well they know their own.

    At damping 0 a member predicts ``truth + noise``, at damping 1 its own subset alone.
    """
    rng = np.random.default_rng(2)
    m, q = 32, 20
    masks = np.stack([rng.permutation(40) < 20 for _ in range(m)])
    true = rng.standard_normal((40, q))
    truth = masks @ true + rng.standard_normal((m, q))
    kept = {}
    for k in range(m):
        scores = np.stack([true, 0 * true]) + noise * rng.standard_normal((2, 40, q))
        sums = masks.astype(float) @ scores  # [G, M, q]
        sums[1, k] += own * truth[k]
        predictions = np.broadcast_to(sums, (1, 2, 1, 2, m, q))
        kept[f"m{k}", "val"] = ensemble_members.Explored(predictions, scores[None])
    settings = {**SETTINGS, "functions": ["identity"], "orders": ["each"]}
    return ensemble_ranking.Ranking(masks, {"val": truth}, settings), kept


def test_more_members_do_better_where_their_errors_are_independent():
    ranking, kept = planted(noise=3.0)
    group = ensemble_ranking.Group("tune", [f"m{k}" for k in range(32)], [2, 8, 32], [1])
    table = pd.DataFrame(ranking.judge(group, kept, {f"m{k}": [1] for k in range(32)}))
    lds = table.set_index("models").lds
    assert lds[2] < lds[8] - 0.05
    assert lds[8] < lds[32] - 0.05
    best = ensemble_ranking.table(table.to_dict("records")).iloc[0]
    assert (best.models, best.damping) == (32, DAMPINGS[0])


def test_what_a_member_knows_of_its_own_subset_chooses_nothing():
    """Judged on all subsets the damping of the leak would win; cross-fitted the true one does."""
    ranking, kept = planted(noise=3.0, own=100.0)
    names, grids = [f"m{k}" for k in range(32)], {f"m{k}": [1] for k in range(32)}
    chosen = {
        group: ranking.judge(ensemble_ranking.Group(group, names, [32], [1]), kept, grids)[0][
            "damping"
        ]
        for group in ("tune", "full")
    }
    assert chosen == {"tune": DAMPINGS[0], "full": DAMPINGS[1]}


def test_the_methods_own_choice_is_that_of_the_table(members, masks, explored, ranking):
    table = rows_of(ranking, explored, "tune", [M], [3])
    for order in averages.ORDERS:
        parts = [
            averages.contributions(passes(m), DAMPINGS, "square", order)["val"] for m in members
        ]
        halves = [np.mean(parts[: M // 2], axis=0), np.mean(parts[M // 2 :], axis=0)]
        scores = {"val": [averages.finished(half, "square", order) for half in halves]}
        choice = ensemble_ranking.cross_fitted(scores, masks, ranking.truth)
        row = table[(table.order == order) & (table.function == "square")].iloc[0]
        assert DAMPINGS[choice.best] == row.damping
        assert choice.lds["val"] == pytest.approx(row.lds, abs=1e-9)


def test_equal_dampings_give_the_larger():
    sums = np.repeat(np.random.default_rng(0).standard_normal((1, 6, 3)), 2, axis=0)
    assert ensemble_ranking.choose({"val": [sums]}, {"val": [sums[0]]}).best == 1


def test_the_table_has_the_best_and_cheapest_first():
    row = dict.fromkeys(ensemble_ranking.COLUMNS, 0)
    made = [(0.5, 9), (0.7, 9), (0.7, 3)]
    table = ensemble_ranking.table([{**row, "mean_lds": lds, "passes": cost} for lds, cost in made])
    assert list(zip(table.mean_lds, table.passes, strict=True)) == [(0.7, 3), (0.7, 9), (0.5, 9)]
