"""The partial LDS: what a score knows beyond a floor."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from dasbench.attribution.parameters import Point
from dasbench.evaluation import beyond, lds, statistics
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.predictions import Predicted

M, Q, B = 60, 12, 200


def drawn(seed, m=M):
    return np.random.default_rng(seed).standard_normal((m, Q))


def judge(predictions, outcome, floor, draws=None):
    """Summary and per query of the row identity, loss, held_out, given these floors."""
    predicted = Predicted((Point(),), dict.fromkeys(lds.TRANSFORMS, predictions[None]))
    selection = pd.DataFrame({"transform": lds.TRANSFORMS, "parameters": "{}"})
    draws = draws or Bootstrap(B).draw(np.random.default_rng(3), len(outcome), Q)
    given = floor if isinstance(floor, dict) else {"floor": floor}
    summary, per_query, _ = lds.evaluate(
        predicted, selection, {"loss": outcome[None]}, draws, given
    )
    return summary.iloc[0], per_query[per_query["transform"] == "identity"]


def regressed(a, b):
    """Residuals of the ranks of a on the ranks of b, with an intercept."""
    a, b = scipy.stats.rankdata(a), scipy.stats.rankdata(b)
    slope, intercept, *_ = scipy.stats.linregress(b, a)
    return a - intercept - slope * b


@pytest.mark.parametrize("copy", [lambda f: f, np.exp, lambda f: -(f**3), lambda f: 2 * f - 1])
def test_the_floor_and_monotone_copies_of_it_are_undefined_for_every_query(copy):
    floor, outcome = drawn(0), drawn(1)
    row, per_query = judge(copy(floor), outcome, floor)
    assert row["partial_undefined"] == Q
    assert per_query["partial"].isna().all()
    assert row[["partial", "partial_lo", "partial_hi"]].tolist() == [0, 0, 0]
    assert abs(row["lds"]) > 0  # the score itself is judged as ever


def test_an_outcome_that_the_floor_determines_is_undefined():
    floor = drawn(0)
    row, _ = judge(drawn(1), floor**3, floor)
    assert row["partial_undefined"] == Q


@pytest.mark.parametrize("seed", range(5))
def test_independent_noise_has_0_within_its_interval(seed):
    floor = drawn(10 + seed)
    row, _ = judge(drawn(20 + seed), floor + drawn(30 + seed), floor)
    assert row["partial_lo"] < 0 < row["partial_hi"]


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.5), (0.3, 1.0), (2.0, -0.7)])
def test_a_truth_of_floor_and_another_is_scipys_correlation_of_regressed_ranks(a, b):
    floor, other = drawn(0), drawn(1)
    method, outcome = other + 0.5 * floor, a * floor + b * other + 0.3 * drawn(2)
    row, per_query = judge(method, outcome, floor)
    values = [
        scipy.stats.pearsonr(
            regressed(method[:, q], floor[:, q]), regressed(outcome[:, q], floor[:, q])
        ).statistic
        for q in range(Q)
    ]
    np.testing.assert_allclose(per_query["partial"], values, atol=1e-12)
    assert row["partial"] == pytest.approx(np.mean(values), abs=1e-12)
    assert np.sign(row["partial"]) == np.sign(b)
    assert row["partial_undefined"] == 0


def test_intervals_come_from_the_shared_draws_with_ranks_within_the_resample():
    floor, other, m = drawn(0, 30), drawn(1, 30), 30
    outcome = floor + other
    draws = Bootstrap(20).draw(np.random.default_rng(5), m, Q)
    row, _ = judge(other, outcome, floor, draws)
    means = []
    for subsets, queries in zip(draws.subsets, draws.queries, strict=True):
        rows, columns = np.repeat(np.arange(m), subsets), np.repeat(np.arange(Q), queries)
        cells = [
            scipy.stats.pearsonr(
                regressed(other[rows, q], floor[rows, q]),
                regressed(outcome[rows, q], floor[rows, q]),
            ).statistic
            for q in columns
        ]
        means.append(np.mean(cells))
    ends = np.percentile(means, [2.5, 97.5])
    np.testing.assert_allclose([row["partial_lo"], row["partial_hi"]], ends, atol=1e-4)


def test_undefined_queries_enter_as_0_and_are_counted():
    floor, other = drawn(0), drawn(1)
    floor[:, 2] = other[:, 2]  # determined by the floor
    floor[:, 5] = 1.0  # a floor without a ranking
    row, per_query = judge(other, floor + drawn(2), floor)
    assert np.flatnonzero(per_query["partial"].isna()).tolist() == [2, 5]
    assert row["partial_undefined"] == 2
    assert row["partial"] == pytest.approx(per_query["partial"].sum() / Q)


def test_class_match_has_its_own_columns_and_without_predictions_they_are_empty():
    both = {"floor": drawn(0), "class_match": drawn(1)}
    row, _ = judge(drawn(2), drawn(3), both)
    alone, _ = judge(drawn(2), drawn(3), drawn(0))
    assert row[beyond.COLUMNS].notna().all()
    assert row["partial"] == alone["partial"] != row["partial_class"]
    assert alone[[name for name in beyond.COLUMNS if "class" in name]].isna().all()
    nothing, per_query = judge(drawn(2), drawn(3), {})
    assert nothing[beyond.COLUMNS].isna().all()
    assert per_query["partial"].isna().all()


def test_other_predictions_change_no_number_of_the_lds():
    predictions, outcome = drawn(2), drawn(3)
    with_, without = judge(predictions, outcome, drawn(0))[0], judge(predictions, outcome, {})[0]
    others = [name for name in with_.index if name not in beyond.COLUMNS]
    pd.testing.assert_series_equal(with_[others], without[others])


def test_a_factor_of_a_millionth_is_no_factor():
    r = np.sqrt(1 - 1e-6)
    assert np.isnan(statistics.partial(0.5, r + 1e-9, 0.1))
    assert np.isfinite(statistics.partial(0.5, np.sqrt(1 - 2e-6), 0.1))
    assert statistics.partial(0.5, 0.3, 0.2) == pytest.approx(
        (0.5 - 0.06) / np.sqrt((1 - 0.09) * (1 - 0.04))
    )
