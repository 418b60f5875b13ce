"""Which examples are removed, and the excess of a method over random removal."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dasbench.evaluation import removal
from dasbench.evaluation.bootstrap import Bootstrap


def test_top_k_is_by_score_then_id():
    scores = np.array([[1.0, 0.0], [2.0, 0.0], [2.0, 0.0], [-5.0, 0.0], [2.0, 9.0]])
    ids = np.array([10, 40, 20, 5, 30])
    got = removal.top_k(scores, ids, 3)
    assert ids[got].tolist() == [[20, 30, 40], [30, 5, 10]]


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_top_k_does_not_depend_on_where_the_examples_stand(seed, k):
    rng = np.random.default_rng(seed)
    scores, ids = rng.integers(-2, 3, size=(12, 4)), rng.permutation(100)[:12]
    order = rng.permutation(12)
    removed, shuffled = (
        ids[removal.top_k(scores, ids, k)],
        ids[order][removal.top_k(scores[order], ids[order], k)],
    )
    np.testing.assert_array_equal(removed, shuffled)
    for q, chosen in enumerate(removal.top_k(scores, ids, k)):
        expected = sorted(range(12), key=lambda n: (-scores[n, q], ids[n]))[:k]
        assert chosen.tolist() == expected


def test_candidates_come_before_the_others():
    scores = np.array([[-np.inf], [-3.0], [-np.inf], [-4.0]])
    assert removal.top_k(scores, np.arange(4), 3).tolist() == [[1, 3, 0]]


def test_boolean_and_unsigned_scores_are_ranked_too():
    ids = np.arange(3)
    assert removal.top_k(np.array([[False], [True], [True]]), ids, 2).tolist() == [[1, 2]]
    assert removal.top_k(np.array([[3], [0], [7]], dtype=np.uint8), ids, 2).tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("scores", "ids", "k", "message"),
    [
        (np.zeros((3, 1)), np.arange(3), 4, "k is 4"),
        (np.zeros((3, 1)), np.arange(3), 0, "k is 0"),
        (np.full((3, 1), np.nan), np.arange(3), 1, "NaN"),
        (np.zeros((3, 1)), np.array([1, 1, 2]), 1, "distinct"),
        (np.zeros((3, 1)), np.arange(2), 1, "ids"),
    ],
)
def test_removals_that_make_no_sense_are_refused(scores, ids, k, message):
    with pytest.raises(ValueError, match=message):
        removal.top_k(scores, ids, k)


def test_random_sets_are_uniform_distinct_and_repeatable():
    sets = removal.random_sets(np.random.default_rng(0), 10, 4, 5000)
    assert sets.shape == (5000, 4)
    assert (np.diff(sets, axis=1) > 0).all()
    np.testing.assert_allclose(np.bincount(sets.ravel(), minlength=10) / 5000, 0.4, atol=0.03)
    np.testing.assert_array_equal(sets[:7], removal.random_sets(np.random.default_rng(0), 10, 4, 7))
    with pytest.raises(ValueError, match="k is 11"):
        removal.random_sets(np.random.default_rng(0), 10, 11, 1)


def test_image_l2_clips_before_it_measures():
    a = np.zeros((2, 1, 2, 2), dtype=np.float32)
    b = a.copy()
    a[0, 0, 0, 0], b[0, 0, 0, 0] = 5.0, -0.5  # 1 and -0.5 once clipped
    a[0, 0, 1, 1] = 2.0
    b[1] = -7.0
    np.testing.assert_allclose(removal.image_l2(a, b), [np.sqrt(1.5**2 + 1), 2.0])
    with pytest.raises(ValueError, match="shapes"):
        removal.image_l2(a, b[:1])


def rows_of(method, k, values, sets=True):
    """Rows of one method from values [sets, Q]."""
    return [
        {"method": method, "k": k, "query": q, "set": s if sets else np.nan, "loss_change": v}
        for s, row in enumerate(values)
        for q, v in enumerate(row)
    ]


def make_table(rng, queries=6, sets=4, effect=1.0):
    """Two k, two methods, random sets that are good or bad as a whole, and a null arm."""
    query = rng.normal(size=queries)
    rows = rows_of(
        "null",
        np.nan,
        0.3 * rng.normal(size=(3, 1)) + 0.2 * rng.normal(size=(3, queries)),
    )
    for k in (5, 10):
        shared = rng.normal(size=(sets, 1))
        rows += rows_of("random", k, query + shared + 0.3 * rng.normal(size=(sets, queries)))
        for name, gain in (("good", effect), ("useless", 0.0)):
            rows += rows_of(name, k, (query + gain + rng.normal(size=queries))[None], sets=False)
    frame = pd.DataFrame(rows)
    return frame.assign(image_l2=frame["loss_change"] ** 2, embedding_cosine=np.nan)


def values_of(frame, method, k=None, measure="loss_change"):
    """[sets, Q] of one method."""
    rows = frame[(frame["method"] == method) & ((frame["k"] == k) | (k is None))]
    return np.stack(
        [r.sort_values("query")[measure].to_numpy() for _, r in rows.groupby(rows["set"].fillna(0))]
    )


def test_excess_is_over_the_mean_of_the_random_sets():
    frame = make_table(np.random.default_rng(1))
    got = removal.summarise(frame, np.random.default_rng(0), Bootstrap(200))
    assert list(got) == removal.SUMMARY_COLUMNS
    for row in got[got["method"].isin(["good", "useless"])].itertuples():
        values = values_of(frame, row.method, row.k, row.measure)
        random = values_of(frame, "random", row.k, row.measure)
        assert row.mean == pytest.approx(values.mean())
        assert row.excess == pytest.approx((values[0] - random.mean(axis=0)).mean())
        assert row.lo < row.excess < row.hi
        assert (row.queries, row.sets) == (6, 4)
    assert len(got[got["method"] == "good"]) == 4  # two k, two measures: there is no embedding


def test_random_has_a_mean_and_null_an_excess_for_each_k():
    frame = make_table(np.random.default_rng(1))
    got = removal.summarise(frame, np.random.default_rng(0), Bootstrap(200))
    for k in (5, 10):
        rows = got[(got["k"] == k) & (got["measure"] == "loss_change")].set_index("method")
        assert rows.loc["random", "mean"] == pytest.approx(values_of(frame, "random", k).mean())
        assert rows.loc["random", ["excess", "lo", "hi"]].isna().all()
        null = values_of(frame, "null").mean()
        assert rows.loc["null", "mean"] == pytest.approx(null)
        assert rows.loc["null", "excess"] == pytest.approx(null - rows.loc["random", "mean"])
        assert rows.loc["null", "sets"] == 3
        assert rows.loc["null", "lo"] < rows.loc["null", "excess"] < rows.loc["null", "hi"]


def test_k_of_the_null_arm_may_be_0_or_empty():
    frame = make_table(np.random.default_rng(1))
    zero = frame.assign(k=frame["k"].fillna(0).astype(int))
    first, second = (
        removal.summarise(f, np.random.default_rng(0), Bootstrap(20)) for f in (frame, zero)
    )
    pd.testing.assert_frame_equal(first, second)


def literal_interval(values, random, counts, draws_of):
    """Percentiles over copied queries and copied sets."""
    drawn = []
    for q_counts, s_counts in zip(counts, draws_of, strict=True):
        q, s = (
            np.repeat(np.arange(len(q_counts)), q_counts),
            np.repeat(np.arange(len(s_counts)), s_counts),
        )
        drawn.append((values[q] - random[s][:, q].mean(axis=0)).mean())
    return np.percentile(drawn, [2.5, 97.5])


def test_the_bootstrap_copies_queries_and_whole_sets():
    frame = make_table(np.random.default_rng(2))
    frame = frame[(frame["k"] == 5)]
    got = removal.summarise(frame, np.random.default_rng(7), Bootstrap(300)).set_index(
        ["method", "measure"]
    )
    rng = np.random.default_rng(7)
    queries, sets = (
        rng.multinomial(6, [1 / 6] * 6, size=300),
        rng.multinomial(4, [1 / 4] * 4, size=300),
    )
    for name in ("good", "useless"):
        expected = literal_interval(
            values_of(frame, name)[0], values_of(frame, "random"), queries, sets
        )
        np.testing.assert_allclose(
            got.loc[(name, "loss_change"), ["lo", "hi"]].astype(float), expected
        )


def test_adding_a_method_leaves_the_others_as_they_were():
    frame = make_table(np.random.default_rng(3))
    every = removal.summarise(frame, np.random.default_rng(0), Bootstrap(50))
    fewer = removal.summarise(
        frame[frame["method"] != "good"], np.random.default_rng(0), Bootstrap(50)
    )
    pd.testing.assert_frame_equal(every[every["method"] != "good"].reset_index(drop=True), fewer)


def test_the_order_of_the_rows_does_not_matter():
    frame = make_table(np.random.default_rng(3))
    shuffled = frame.sample(frac=1, random_state=0)
    results = [
        removal.summarise(f, np.random.default_rng(0), Bootstrap(50)) for f in (frame, shuffled)
    ]
    pd.testing.assert_frame_equal(*results)


def test_intervals_cover_the_true_excess_and_would_not_if_sets_were_taken_for_fixed():
    """Sets that are good or bad for all queries at once make the spread over queries too small."""
    rng = np.random.default_rng(4)
    covered, naive = [], []
    for _ in range(150):
        frame = make_table(rng, queries=12, sets=10, effect=0.7)
        frame = frame[(frame["k"] == 5)].drop(columns="image_l2")
        row = removal.summarise(frame, rng, Bootstrap(300)).set_index("method").loc["good"]
        covered.append(row["lo"] <= 0.7 <= row["hi"])
        per_query = values_of(frame, "good")[0] - values_of(frame, "random").mean(axis=0)
        drawn = rng.choice(per_query, size=(300, 12)).mean(axis=1)
        naive.append(np.percentile(drawn, 2.5) <= 0.7 <= np.percentile(drawn, 97.5))
    assert (
        np.mean(covered) >= 0.85
    )  # ten sets and twelve queries: a percentile interval is a little short
    assert np.mean(naive) < np.mean(covered) - 0.05


def test_tables_with_gaps_are_refused():
    frame = make_table(np.random.default_rng(5))
    is_good = (frame["method"] == "good") & (frame["k"] == 5)
    is_random = (frame["method"] == "random") & (frame["k"] == 5)
    cases = [
        (frame[~is_random], "no random removals"),
        (frame[~(is_good & (frame["query"] == 2))], "gaps"),
        (frame[~(is_random & (frame["query"] == 2) & (frame["set"] == 1))], "gaps"),
        (
            frame.assign(loss_change=frame["loss_change"].mask(is_good & (frame["query"] == 2))),
            "gaps",
        ),
        (pd.concat([frame, frame[is_good]]), "repeated"),
        (pd.concat([frame, frame[is_good].assign(set=1)]), "sets"),
    ]
    for broken, message in cases:
        with pytest.raises(ValueError, match=message):
            removal.summarise(broken, np.random.default_rng(0), Bootstrap(5))


def test_methods_are_compared_on_the_same_resampled_queries():
    frame = make_table(np.random.default_rng(6))
    got = removal.compare(frame, "useless", np.random.default_rng(7), Bootstrap(200))
    assert set(got.a) == {"good"}
    assert set(got.b) == {"useless"}
    counts = np.random.default_rng(7).multinomial(6, [1 / 6] * 6, size=200)
    for row in got.itertuples():
        a, b = (values_of(frame, name, row.k, row.measure)[0] for name in (row.a, row.b))
        drawn = [np.repeat(a - b, c).mean() for c in counts]  # copied queries
        expected = [(a - b).mean(), *np.percentile(drawn, [2.5, 97.5])]
        np.testing.assert_allclose([row.difference, row.lo, row.hi], expected)
        assert row.detectable == pytest.approx(2.80158 * np.std(drawn, ddof=1), rel=1e-4)
    assert len(got) == 4  # two k, two measures
