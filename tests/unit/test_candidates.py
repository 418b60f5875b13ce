"""Candidate sets: the pixel-nearest training images of every query."""

import numpy as np
import pytest

from dasbench import candidates


def images(n, seed, levels=256):
    drawn = np.random.default_rng(seed).integers(0, levels, (n, 2, 3, 5))
    return (drawn / ((levels - 1) / 2) - 1).astype(np.float32)


def by_hand(train, queries, count):
    """One query at a time, one image at a time; ties to the smaller position."""
    chosen = set()
    for query in queries.astype(np.float64):
        distances = [
            (float(((x.astype(np.float64) - query) ** 2).sum()), i) for i, x in enumerate(train)
        ]
        chosen |= {i for _, i in sorted(distances)[:count]}
    return np.isin(np.arange(len(train)), sorted(chosen))


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_against_a_loop(count):
    train, queries = images(41, 0), images(6, 1)
    found = candidates.nearest(train, queries, count)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, by_hand(train, queries, count))
    assert count <= found.sum() <= count * 6


def test_a_query_that_is_a_training_image_finds_it():
    train = images(20, 2)
    found = candidates.nearest(train, train[[3, 17]], 1)
    assert np.flatnonzero(found).tolist() == [3, 17]


@pytest.mark.parametrize("count", [20, 21, 10_000])
def test_as_many_as_there_are_is_everything(count):
    assert candidates.nearest(images(20, 0), images(2, 1), count).all()


@pytest.mark.parametrize("n", [9, 37, 64, 101])
def test_ties_go_to_the_smaller_position(n):
    """Copies of one image at equal distance, and black and white: exact in any arithmetic."""
    copies = np.repeat(images(1, 0, levels=2), n, axis=0)
    found = candidates.nearest(copies, images(3, 1, levels=2), 4)
    assert np.flatnonzero(found).tolist() == [0, 1, 2, 3]
    train, queries = images(n, 4, levels=2), images(3, 5, levels=2)
    np.testing.assert_array_equal(candidates.nearest(train, queries, 4), by_hand(train, queries, 4))


def test_the_order_of_queries_does_not_matter_and_more_queries_add():
    train, queries = images(41, 0), images(6, 1)
    one = candidates.nearest(train, queries, 3)
    np.testing.assert_array_equal(one, candidates.nearest(train, queries[::-1], 3))
    alone = [candidates.nearest(train, q[None], 3) for q in queries]
    np.testing.assert_array_equal(one, np.any(alone, axis=0))
