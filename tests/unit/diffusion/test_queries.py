"""Labels of generated queries, and which queries tune."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from dasbench.diffusion import queries


def images(n, seed):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 1, 3, 3)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30),
    q=st.integers(1, 6),
    classes=st.integers(1, 5),
    neighbours=st.integers(1, 7),
    seed=st.integers(0, 10**6),
)
def test_labels_are_those_of_the_oracle(n, q, classes, neighbours, seed):
    labels = np.random.default_rng(seed).integers(0, classes, n)
    train, asked = images(n, seed), images(q, seed + 1)
    made = queries.nearest_labels(asked, train, labels, neighbours)
    np.testing.assert_array_equal(made, oracle.generated_labels(train, labels, asked, neighbours))
    assert made.dtype == np.int64


def test_five_digits_vote(digits):
    labels, train = digits
    asked = train[:8] + np.float32(0.01)
    made = queries.nearest_labels(asked, train, labels)
    np.testing.assert_array_equal(made, oracle.generated_labels(train, labels, asked, 5))
    one = queries.nearest_labels(asked, train, labels, 1)
    np.testing.assert_array_equal(one, labels[:8])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([7, 7, 1, 1, 1], 1), ([7, 7, 1, 1, 4], 1), ([9, 3, 3, 9, 0], 3), ([5, 4, 3, 2, 1], 1)],
)
def test_ties_go_to_the_smallest_label(labels, expected):
    train = np.linspace(0, 0.4, 5).reshape(5, 1, 1, 1)
    asked = np.zeros((1, 1, 1, 1))
    assert queries.nearest_labels(asked, train, np.array(labels)).tolist() == [expected]


def test_the_nearest_vote_not_the_first():
    train = np.array([9, 9, 9, 0.3, 0.2, 0.1]).reshape(6, 1, 1, 1)
    labels = np.array([0, 0, 0, 1, 1, 1])
    asked = np.zeros((1, 1, 1, 1))
    assert queries.nearest_labels(asked, train, labels, 3).tolist() == [1]


def test_the_first_queries_tune_and_the_others_evaluate():
    uses = queries.uses({"val": 5, "gen": 3, "tuning": 2, "sampling_steps": 50})
    assert uses == {
        "val": {"tuning": [0, 1], "evaluation": [2, 3, 4]},
        "gen": {"tuning": [0, 1], "evaluation": [2]},
    }
