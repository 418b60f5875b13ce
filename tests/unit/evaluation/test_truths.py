"""Ranks of methods under several ground truths, and how far the truths agree."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dasbench.evaluation import truths
from dasbench.evaluation.bootstrap import Bootstrap

B = 150
BOOT = Bootstrap(B)
METHODS = list("abcde")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pair(rng):
    """Two truths; the second judges four of the five methods, in another order."""
    values = pd.Series([3.0, 1, 2, 5, 4], index=METHODS)
    first = truths.Truth("loss", "x", values, values.to_numpy() + rng.standard_normal((B, 5)))
    values = pd.Series([0.1, 0.4, 0.4, 0.2], index=list("dbca"))
    drawn = values.to_numpy() + 0.1 * rng.standard_normal((B, 4))
    return first, truths.Truth("groups", "y", values, drawn)


def test_the_highest_value_has_rank_1(pair):
    table = truths.ranks(pair, BOOT).set_index(["truth", "method"])
    assert table.loc["loss", "rank"].tolist() == [3, 5, 4, 1, 2]
    assert table.loc["groups", "rank"].tolist() == [4, 1.5, 1.5, 3]
    drawn = [stats.rankdata(-row)[0] for row in pair[0].drawn]
    ends = table.loc[("loss", "a"), ["lo", "hi"]].tolist()
    assert ends == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert set(table.loc["groups", "methods"]) == {4}
    assert set(table.loc["groups", "source"]) == {"y"}


def test_tau_is_that_of_scipy(rng):
    a, b = rng.integers(0, 4, (2, 30, 6)).astype(float)
    expected = [stats.kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(truths.tau(a, b), expected)
    assert np.isnan(truths.tau(np.ones((1, 3)), np.arange(3.0)[None])).all()


def test_truths_are_compared_on_the_methods_of_both(pair):
    (row,) = truths.agreement(pair, BOOT).to_dict("records")
    first, second = (truth.values[list("abcd")] for truth in pair)
    assert row["tau"] == pytest.approx(stats.kendalltau(first, second).statistic)
    assert (row["methods"], row["a"], row["source_b"]) == (4, "loss", "y")
    places = [3, 1, 2, 0]  # of a, b, c, d in the second
    drawn = [
        stats.kendalltau(x[:4], y[places]).statistic
        for x, y in zip(pair[0].drawn, pair[1].drawn, strict=True)
    ]
    assert [row["lo"], row["hi"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    lone = pair[0]._replace(values=pair[0].values[:1], drawn=pair[0].drawn[:, :1])
    assert truths.agreement([lone, pair[1]], BOOT).empty


def test_a_mean_over_queries_is_resampled(rng):
    per_query = pd.DataFrame(rng.standard_normal((7, 2)), columns=["a", "b"])
    per_query.loc[3, "b"] = np.nan
    truth = truths.over_queries("exact", "x", per_query, BOOT, np.random.default_rng(1))
    known = per_query.fillna(0)
    assert truth.values.tolist() == pytest.approx(known.mean().tolist())
    counts = BOOT.counts(np.random.default_rng(1), 7)
    expected = [np.repeat(known.to_numpy(), c, axis=0).mean(0) for c in counts]
    np.testing.assert_allclose(truth.drawn, expected)
