"""The table of an answer."""

import numpy as np
import pytest

from dasbench.attribution import evidence
from dasbench.attribution.answer import RATE
from example_answers import bare, example, unlisted


def test_a_rank_is_a_place_in_the_order():
    answer = example()
    for score in answer.all_scores:
        ranks = answer.ranks(score, 1)
        assert ranks[answer.order(score, 1, 20)].tolist() == list(range(1, 21))


@pytest.mark.parametrize("top", [1, 3, 18, 20, 99])
def test_each_image_that_stands_out_is_in_the_table(top):
    answer = unlisted(example())
    frame = answer.frame(top)
    for j, (_, rows) in enumerate(frame.groupby("query", sort=False)):
        out = np.flatnonzero(answer.evidence.q[:, j] <= RATE)
        assert {answer.training[i].name for i in out} <= set(rows["image"])
        assert not rows["image"].duplicated().any()
        assert rows["rank"].tolist()[:top] == list(range(1, min(top, 20) + 1))
        assert (rows["q_value"][top:] <= RATE).all()
        assert rows["q_value"][top:].is_monotonic_increasing
        higher = [(answer.scores[:, j] > score).sum() for score in rows["score"]]
        assert rows["rank"].tolist() == [count + 1 for count in higher]


def test_a_table_has_all_images_that_stand_out():
    answer = unlisted(example(count=300, queries=2), 200)
    assert (answer.frame(5)["q_value"] <= RATE).sum() == 2 * 201
    assert len(bare(answer).frame(5)) == 2 * 5


def test_images_stand_out_at_the_rate_of_the_sentences():
    assert RATE == evidence.RATE
