"""Candidate sets: the pixel-nearest training images of every query."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from dasbench import registry
from dasbench.attribution import candidates
from dasbench.attribution.parameters import dampings
from dasbench.core import artifacts
from dasbench.diffusion import denoiser
from stepwise import every_part, inputs


def images(n, seed, levels=256):
    drawn = np.random.default_rng(seed).integers(0, levels, (n, 2, 3, 5))
    return (drawn / ((levels - 1) / 2) - 1).astype(np.float32)


def by_hand(train, queries, count):
    """One query at a time, one image at a time; ties to the smaller position."""
    chosen = np.zeros((len(train), len(queries)), bool)
    for q, query in enumerate(queries.astype(np.float64)):
        distances = [
            (float(((x.astype(np.float64) - query) ** 2).sum()), i) for i, x in enumerate(train)
        ]
        chosen[[i for _, i in sorted(distances)[:count]], q] = True
    return chosen


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_against_a_loop(count):
    train, queries = images(41, 0), images(6, 1)
    found = candidates.nearest(train, queries, count)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, by_hand(train, queries, count))
    assert found.sum(axis=0).tolist() == [count] * 6


def test_a_query_that_is_a_training_image_finds_it():
    train = images(20, 2)
    found = candidates.nearest(train, train[[3, 17]], 1)
    np.testing.assert_array_equal(np.argwhere(found), [[3, 0], [17, 1]])


@pytest.mark.parametrize("count", [20, 21, 10_000])
def test_as_many_as_there_are_is_everything(count):
    assert candidates.nearest(images(20, 0), images(2, 1), count).all()


@pytest.mark.parametrize("n", [9, 37, 64, 101])
def test_ties_go_to_the_smaller_position(n):
    """Copies of one image at equal distance, and black and white: exact in any arithmetic."""
    copies = np.repeat(images(1, 0, levels=2), n, axis=0)
    found = candidates.nearest(copies, images(3, 1, levels=2), 4)
    np.testing.assert_array_equal(found, np.arange(n)[:, None] < [4, 4, 4])
    train, queries = images(n, 4, levels=2), images(3, 5, levels=2)
    np.testing.assert_array_equal(candidates.nearest(train, queries, 4), by_hand(train, queries, 4))


def test_the_candidates_of_a_query_do_not_depend_on_other_queries():
    train, queries = images(41, 0), images(6, 1)
    alone = [candidates.nearest(train, q[None], 3) for q in queries]
    np.testing.assert_array_equal(candidates.nearest(train, queries, 3), np.hstack(alone))


@pytest.mark.parametrize("shape", [(3, 4, 1), (2, 5, 3)])
def test_pixels_are_what_the_model_sees(shape):
    drawn = np.random.default_rng(0).integers(0, 256, (7, *shape)).astype(np.uint8)
    np.testing.assert_allclose(candidates.pixels(drawn), denoiser.to_model(drawn), atol=1e-6)


@pytest.mark.parametrize("kernel", ["averaged", "per_t"])
def test_a_score_of_what_is_no_candidate_is_zero_and_the_others_stay(kernel):
    options = {**registry.METHODS["dtrak"], "kernel": kernel}
    everything = asked(kernel)
    near = candidates.nearest(images(9, 1), images(4, 2), 3)
    some = replace(everything, candidates=near)
    (whole,), (masked,) = (
        every_part(options, given, dampings([0.1])).values() for given in (everything, some)
    )
    np.testing.assert_array_equal(masked, np.where(near, whole, 0))
    (made,) = every_part(options, some, dampings([0.1]), [3, 1, 0], 8 * 9).values()
    np.testing.assert_allclose(made, masked[..., [3, 1, 0]], rtol=1e-9)


def asked(kernel):
    """9 examples and 4 queries with features of 5 dimensions, at 2 timesteps."""
    rng = np.random.default_rng(3)
    train, query = (rng.standard_normal((2, n, 5)).astype(np.float32) for n in (9, 4))
    made = inputs(train, query, None)
    if kernel == "per_t":
        return made
    averaged = {"train_features": train[0], "query_features": query[0]}
    return replace(made, **averaged, spectrum=None, query_timesteps=None)


def test_candidates_are_removed_first_however_low_their_scores(tmp_path):
    pool = np.random.default_rng(0).integers(0, 256, (9, 3, 5, 2)).astype(np.uint8)
    queries, scores = images(2, 1), np.random.default_rng(2).uniform(-1, 0, (9, 2))
    near = candidates.nearest(candidates.pixels(pool), queries, 3)
    artifacts.save_examples(tmp_path / "train.npz", pool, np.zeros(9), np.arange(9))
    artifacts.save_array(tmp_path / "scores.npy", np.where(near, scores, 0).astype(np.float32))
    artifacts.save_array(tmp_path / "gen.npy", queries)
    settings = json.dumps({"axes": ["tests", 0], "k": 2, "queries": [0, 1], "candidates": 3})
    call = f"scripts/choose_removals.py --examples {tmp_path}/train.npz --masks {tmp_path}/m.npy"
    call += f" --scores {tmp_path}/scores.npy --asked {tmp_path}/gen.npy --settings"
    subprocess.run([sys.executable, *call.split(), settings], check=True)
    left_out = ~artifacts.load_array(tmp_path / "m.npy")
    for q in range(2):
        best = sorted(np.flatnonzero(near[:, q]), key=lambda i: -scores[i, q])[:2]
        assert set(np.flatnonzero(left_out[q])) == set(best)
