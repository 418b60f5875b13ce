"""Rank statistics against scipy, against literal resampling, and against known truths."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dasbench.core.blocks import blocks
from dasbench.evaluation import statistics
from dasbench.evaluation.bootstrap import POWER, Bootstrap


def scipy_spearman(x, y):
    """[Q] by scipy, one column at a time; NaN where a column is constant."""
    pairs = zip(x.T, y.T, strict=True)
    defined = [
        len(np.unique(a)) > 1 and len(np.unique(b)) > 1 for a, b in zip(x.T, y.T, strict=True)
    ]
    return np.array(
        [
            scipy.stats.spearmanr(a, b).statistic if ok else np.nan
            for ok, (a, b) in zip(defined, pairs, strict=True)
        ]
    )


@st.composite
def tied_pairs(draw):
    """Two matrices of few distinct values, so that ties and constant columns are common."""
    shape = (draw(st.integers(2, 9)), draw(st.integers(1, 4)))
    values = st.integers(-2, 2).map(float)
    return draw(arrays(np.float64, shape, elements=values)), draw(
        arrays(np.float64, shape, elements=values)
    )


@given(tied_pairs())
@settings(max_examples=60, deadline=None)
def test_spearman_is_scipys_with_ties_and_constants(pair):
    np.testing.assert_allclose(statistics.spearman(*pair), scipy_spearman(*pair), atol=1e-12)


def test_spearman_of_continuous_values_is_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 7)) * 1e-200  # values whose squares underflow
    np.testing.assert_allclose(statistics.spearman(x, y), scipy_spearman(x, y), atol=1e-12)


def test_spearman_is_undefined_exactly_where_a_side_is_constant():
    x = np.arange(12.0).reshape(4, 3)
    y = x.copy()
    y[:, 1] = 0.1
    assert np.isnan(statistics.spearman(x, y)).tolist() == [False, True, False]
    assert np.isnan(statistics.spearman(y, x)).tolist() == [False, True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_have_no_rank(bad):
    x = np.arange(8.0).reshape(4, 2)
    y = x.copy()
    y[0, 0] = bad
    with pytest.raises(ValueError, match="finite"):
        statistics.spearman(x, y)
    with pytest.raises(ValueError, match="finite"):
        statistics.ResampledRanks(y, np.ones((1, 4), dtype=int))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes"):
        statistics.spearman(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="counts"):
        statistics.ResampledRanks(np.zeros((4, 2)), np.ones((1, 5), dtype=int))


def literal_bootstrap(x, y, counts):
    """Copy the drawn rows, then ask scipy: the definition."""
    rows = [np.repeat(np.arange(len(x)), c) for c in counts]
    return np.stack([scipy_spearman(x[index], y[index]) for index in rows])


@pytest.mark.parametrize("memory", [0, statistics.MEMORY])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_bootstrap_spearman_is_literal_resampling(memory, step):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 11, 7))
    x[:, 1], y[:, 2] = np.round(x[:, 1]), np.round(y[:, 2])  # ties
    x[:, 3] = 0.3  # constant
    y[:, 4] = y[:, 4] > y[:, 4].max() - 1e-9  # constant in the resamples that miss its one high row
    counts = Bootstrap(25).counts(rng, 11)
    ranks = statistics.ResampledRanks(y, counts, memory)
    ranks.blocks = blocks(7, step)
    if memory:
        ranks.kept = [ranks._weighted(block) for block in ranks.blocks]
    truth = literal_bootstrap(x, y, counts)
    assert 0 < np.isnan(truth[:, 4]).sum() < len(counts)
    np.testing.assert_allclose(ranks.correlate(x), truth, atol=1e-6)
    np.testing.assert_allclose(statistics.bootstrap_spearman(x, y, counts), truth, atol=1e-6)


@given(tied_pairs(), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_bootstrap_spearman_agrees_under_heavy_ties(pair, seed):
    counts = Bootstrap(4).counts(np.random.default_rng(seed), len(pair[0]))
    got = statistics.bootstrap_spearman(*pair, counts)
    np.testing.assert_allclose(got, literal_bootstrap(*pair, counts), atol=1e-6)


def test_every_row_once_gives_the_undrawn_estimate():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 300, 3))  # beyond the size where float32 sums are exact
    got = statistics.bootstrap_spearman(x, y, np.ones((1, 300), dtype=int))
    np.testing.assert_allclose(got[0], statistics.spearman(x, y), atol=1e-5)


# A population with a known mean LDS: subsets are standard normal vectors z (so that one is odd for
# all queries at once), queries are directions a (predicted) and b (true), outputs z.b + noise that
# is partly common to the queries. x = z.a and y are jointly normal given the query, hence the
# population's Spearman correlation is (6 / pi) arcsin(r / 2).
DIMENSIONS, NOISE, COMMON = 4, 1.8, 0.8
SUBSETS, QUERIES, EXPERIMENTS = 32, 14, 1000


def directions(rng, queries):
    """Directions [Q, d] of a good method, a worse one and the truth, for randomly drawn queries."""
    truth = 0.7 + 0.5 * rng.normal(size=(queries, DIMENSIONS))
    good = truth + 0.7 * rng.normal(size=truth.shape)
    return good, good + rng.normal(size=truth.shape), truth


def population_spearman(a, b):
    norms = np.linalg.norm(a, axis=1) * np.sqrt((b**2).sum(axis=1) + NOISE**2)
    return (6 / np.pi * np.arcsin((a * b).sum(axis=1) / norms / 2)).mean()


def replicate(rng):
    """One experiment: predictions of two methods and outputs [M, Q]."""
    z = rng.normal(size=(SUBSETS, DIMENSIONS))
    good, worse, truth = directions(rng, QUERIES)
    common, own = rng.normal(size=(SUBSETS, 1)), rng.normal(size=(SUBSETS, QUERIES))
    noise = NOISE * (COMMON * common + np.sqrt(1 - COMMON**2) * own)
    return z @ good.T, z @ worse.T, z @ truth.T + noise


def test_the_synthetic_population_is_what_its_formula_says():
    rng = np.random.default_rng(8)
    a, _, b = directions(rng, 20)
    z = rng.normal(size=(40_000, DIMENSIONS))
    y = z @ b.T + NOISE * rng.normal(size=(len(z), 20))
    assert statistics.spearman(z @ a.T, y).mean() == pytest.approx(
        population_spearman(a, b), abs=0.005
    )


@pytest.fixture(scope="module")
def coverage():
    """How often 95 % intervals hold the truth over many experiments, by what is resampled."""
    rng = np.random.default_rng(3)
    good, worse, true = directions(rng, 400_000)
    mean, other = population_spearman(good, true), population_spearman(worse, true)
    hits = {
        name: [] for name in ("both", "queries", "subsets", "difference", "narrower", "detected")
    }
    detectable, bootstrap = [], Bootstrap(300)
    for _ in range(EXPERIMENTS):
        x, worse_x, y = replicate(rng)
        draws = bootstrap.draw(rng, SUBSETS, QUERIES)
        ranks = statistics.ResampledRanks(y, draws.subsets)
        resampled, still = ranks.correlate(x), statistics.spearman(x, y)[None]
        drawn, drawn_worse = draws.mean(resampled), draws.mean(ranks.correlate(worse_x))
        for name, values in (
            ("both", drawn),
            ("queries", draws.mean(still)),
            ("subsets", resampled.mean(axis=1)),
        ):
            lo, hi = bootstrap.interval(still.mean(), values)
            hits[name].append(lo <= mean <= hi)
        points = still.mean(), statistics.spearman(worse_x, y).mean()
        paired = bootstrap.difference(points, drawn, drawn_worse)
        unpaired = bootstrap.difference(points, drawn, rng.permutation(drawn_worse))
        hits["difference"].append(paired.lo <= mean - other <= paired.hi)
        hits["narrower"].append(paired.hi - paired.lo < unpaired.hi - unpaired.lo)
        hits["detected"].append(paired.lo > 0)
        detectable.append(paired.detectable)
    rates = {name: np.mean(values) for name, values in hits.items()}
    return rates | {"effect": mean - other, "detectable": np.median(detectable)}


def test_two_way_intervals_cover_the_population_mean(coverage):
    assert coverage["both"] >= 0.90


@pytest.mark.parametrize("alone", ["queries", "subsets"])
def test_resampling_one_way_alone_would_not_cover(coverage, alone):
    assert coverage[alone] < 0.90


def test_paired_intervals_cover_the_true_difference(coverage):
    assert coverage["difference"] >= 0.90


def test_pairing_narrows_the_interval(coverage):
    assert coverage["narrower"] > 0.90


def test_the_detectable_difference_is_detected_about_as_often_as_it_says(coverage):
    """At an effect of c detectable sizes the power of a normal test is Phi(2.80 c - 1.96)."""
    factor = scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(POWER)
    expected = scipy.stats.norm.cdf(
        factor * coverage["effect"] / coverage["detectable"] - scipy.stats.norm.ppf(0.975)
    )
    assert 0.2 < expected < 0.99  # else the comparison says nothing
    assert coverage["detected"] == pytest.approx(expected, abs=0.12)


def test_spearman_brown_known_values():
    assert statistics.spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert statistics.spearman_brown(0.3, 1) == pytest.approx(0.3)
    assert statistics.spearman_brown(1.0, 7) == pytest.approx(1)


@given(st.floats(-1, 1), st.integers(2, 8))
def test_spearman_brown_keeps_the_sign_of_r_and_never_passes_1(r, seeds):
    rho = float(statistics.spearman_brown(r, seeds))
    assert np.isfinite(rho)
    assert rho <= 1 + 1e-12
    assert np.sign(rho) == np.sign(r)


def noisy_outputs(rng, signal, ratio, seeds):
    """Outputs [R, M, Q] of signal plus noise whose variance is ``ratio`` times the signal's."""
    return signal + np.sqrt(ratio) * rng.normal(size=(seeds, *signal.shape))


@pytest.mark.parametrize(("ratio", "seeds"), [(1.0, 2), (0.5, 3), (4.0, 2)])
def test_ceiling_is_what_the_noiseless_predictor_scores(ratio, seeds):
    rng = np.random.default_rng(4)
    signal = rng.normal(size=(400, 60))
    outputs = noisy_outputs(rng, signal, ratio, seeds)
    got = statistics.reliability(outputs, Bootstrap(200).draw(rng, 400, 60))
    assert got.rho == pytest.approx(
        seeds / (seeds + ratio), abs=0.04
    )  # share of signal in the mean's variance
    assert got.ceiling == pytest.approx(
        statistics.spearman(signal, outputs.mean(axis=0)).mean(), abs=0.03
    )
    assert got.lo < got.ceiling < got.hi
    assert got.ceiling == pytest.approx(np.sqrt(got.rho))


def test_outputs_without_signal_have_no_ceiling_to_take_fractions_of():
    rng = np.random.default_rng(5)
    got = statistics.reliability(rng.normal(size=(2, 30, 20)), Bootstrap(300).draw(rng, 30, 20))
    assert got.rho_lo <= 0
    assert got.lo == 0


def test_one_seed_says_nothing():
    rng = np.random.default_rng(6)
    got = statistics.reliability(rng.normal(size=(1, 30, 4)), Bootstrap(10).draw(rng, 30, 4))
    assert np.isnan(got).all()


def test_agreement_averages_all_pairs_and_counts_undefined_as_0():
    up = np.arange(5.0)
    columns = [(up, up), (up, 0 * up), (up, up)]  # query 1 is undefined in two of three pairs
    outputs = np.stack([np.stack(pair, axis=1) for pair in columns])
    assert statistics.seed_agreement(outputs) == pytest.approx((3 * 1 + 0 + 1 + 0) / 6)
    outputs[2, :, 0] = -up
    assert statistics.seed_agreement(outputs) == pytest.approx((1 - 1 - 1 + 0 + 1 + 0) / 6)
