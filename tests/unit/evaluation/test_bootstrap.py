"""Resamples against their definition, intervals against percentiles, and who makes them."""

import ast

import numpy as np
import pytest

from dasbench import seeds
from dasbench.evaluation.bootstrap import Bootstrap, Draws, generator
from experiment_files import ROOT


def test_resample_counts_are_those_of_drawing_with_replacement():
    counts = Bootstrap(20_000).counts(np.random.default_rng(0), 5)
    assert (counts.sum(axis=1) == 5).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(counts.var(axis=0), 0.8, atol=0.05)  # binomial(5, 1/5)
    np.testing.assert_allclose(np.cov(counts[:, 0], counts[:, 1])[0, 1], -0.2, atol=0.04)


def test_a_resample_may_be_smaller_than_the_items():
    counts = Bootstrap(50).counts(np.random.default_rng(0), 6, size=4)
    assert counts.shape == (50, 6)
    assert (counts.sum(axis=1) == 4).all()


def test_a_kind_with_a_single_item_leaves_the_others_as_they_were():
    several = Bootstrap(9).resample(np.random.default_rng(1), {"a": 5, "one": 1, "b": 4})
    fewer = Bootstrap(9).resample(np.random.default_rng(1), {"a": 5, "b": 4})
    assert (several.pop("one") == 1).all()
    assert several.keys() == fewer.keys()
    for name, counts in fewer.items():
        np.testing.assert_array_equal(several[name], counts)


def test_shared_draws_are_keyed_by_experiment_and_kind():
    """Spelt out: published intervals rest on these very numbers."""
    draws = Bootstrap(7, 0.9).shared(("digits", 3), "val", 8, 5)
    rng = seeds.generator("digits", 3, "bootstrap", "val")
    np.testing.assert_array_equal(draws.subsets, rng.multinomial(8, [1 / 8] * 8, size=7))
    np.testing.assert_array_equal(draws.queries, rng.multinomial(5, [1 / 5] * 5, size=7))
    assert draws.bootstrap == Bootstrap(7, 0.9)
    again = generator(("digits", 3), "val")
    np.testing.assert_array_equal(draws.subsets, Bootstrap(7).counts(again, 8))
    other = Bootstrap(7, 0.9).shared(("digits", 3), "gen", 8, 5)
    assert (other.subsets != draws.subsets).any()


def test_draws_share_subsets_between_kinds_of_queries_with_equal_keys():
    a = Bootstrap(20).draw(np.random.default_rng(7), 8, 5)
    b = Bootstrap(20).draw(np.random.default_rng(7), 8, 9)
    np.testing.assert_array_equal(a.subsets, b.subsets)
    assert a.queries.shape == (20, 5)


def test_undefined_enters_the_mean_of_the_draws_as_0():
    draws = Draws(Bootstrap(2), np.ones((2, 3), dtype=int), np.array([[1, 1], [0, 2]]))
    np.testing.assert_allclose(draws.mean(np.array([[0.4, np.nan], [0.9, 0.5]])), [0.2, 0.5])


def test_the_interval_holds_the_percentiles():
    resampled = np.stack([np.arange(101.0), -np.arange(101.0)], axis=1)
    lo, hi = Bootstrap(101, 0.9).interval(np.array([50.0, -50.0]), resampled)
    np.testing.assert_allclose(lo, [5, -95])
    np.testing.assert_allclose(hi, [95, -5])


@pytest.mark.parametrize("shape", [(4,), (5, 2)])
def test_an_interval_needs_the_estimate_on_every_draw(shape):
    with pytest.raises(ValueError, match=r"shape .* expected \(5,\); estimate once on every draw"):
        Bootstrap(5).interval(0.5, np.zeros(shape))


def test_paired_difference_by_hand():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 2.0, 2.0])
    got = Bootstrap(4).difference((0.5, 0.2), a, b)
    assert got.difference == pytest.approx(0.3)
    assert got.detectable == pytest.approx(
        (1.959964 + 0.841621) * np.std([1, 2, 1, 2], ddof=1), rel=1e-6
    )
    assert (got.lo, got.hi) == tuple(np.percentile([1, 2, 1, 2], [2.5, 97.5]))
    with pytest.raises(ValueError, match="pair"):
        Bootstrap(4).difference((0.5, 0.2), a, b[:3])


def test_intervals_and_resamples_are_made_in_one_place():
    """A second percentile or multinomial elsewhere would be a second rule for intervals."""
    names = {"percentile", "nanpercentile", "multinomial"}
    makers = set()
    for folder in ("src", "scripts", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            calls = (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call))
            if names & {getattr(call.func, "attr", None) for call in calls}:
                makers.add(file.name)
    assert makers == {"bootstrap.py"}
