"""What an answer should contain: labels, marks and copies, found the slow way."""

import types

import numpy as np
import pytest

from dasbench.core.artifacts import Examples
from dasbench.evaluation import questions


def test_a_query_asks_for_the_images_of_its_label_and_is_left_out_without_any():
    train, labels = np.array([3, 1, 3, 2]), np.array([1, 3, 9, 2])
    asked = questions.same_label(train, labels, [1, 2, 3])
    assert asked.queries.tolist() == [1, 3]  # nothing has the label 9
    expected = [[n == labels[q] for q in (1, 3)] for n in train]
    np.testing.assert_array_equal(asked.relevant, expected)
    assert set(asked.groups) == {"same label"}


def test_only_queries_that_show_the_mark_are_asked():
    marked, shown = np.array([True, False, True]), np.array([True, False, True, True])
    asked = questions.same_mark(marked, shown, ["a", "b", "c", "d"], [1, 2, 3])
    assert asked.queries.tolist() == [2, 3]
    assert asked.groups.tolist() == ["c", "d"]
    np.testing.assert_array_equal(asked.relevant, np.repeat(marked[:, None], 2, axis=1))
    nothing = questions.same_mark(np.zeros(3, bool), shown, ["a"] * 4, [1, 2, 3])
    assert nothing.relevant.shape == (3, 0)


def test_the_query_most_like_an_image_asks_for_all_its_copies():
    rng = np.random.default_rng(0)
    originals = np.array([4, 7, 4, 2, 7, 7])
    pictures = {o: rng.random((1, 3, 3)) for o in (2, 4, 7)}
    train = np.stack([pictures[o] for o in originals])
    queries = rng.random((5, 1, 3, 3))
    queries[0] = pictures[7]  # the nearest of all, but not among those that may be asked
    asked = questions.copies(originals, train, queries, [7, 2, 9], among=[1, 2, 3, 4])
    assert asked.groups.tolist() == ["3 copies", "1 copy"]  # the original 9 is absent
    for column, original in enumerate((7, 2)):
        far = [((queries[q] - pictures[original]) ** 2).sum() for q in (1, 2, 3, 4)]
        assert asked.queries[column] == (1, 2, 3, 4)[int(np.argmin(far))]
        np.testing.assert_array_equal(asked.relevant[:, column], originals == original)


def test_the_same_questions_are_found_in_another_order():
    here, there = np.array([5, 8, 5, 6]), np.array([6, 8, 5])
    relevant = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], bool)
    asked = questions.Questions(np.array([2, 0]), relevant, np.array(["2 copies", "1 copy"]))
    ids = (np.array([30, 10, 20]), np.array([20, 40, 30]))
    moved = questions.elsewhere(asked, (here, there), ids)
    assert moved.queries.tolist() == [0, 2]
    np.testing.assert_array_equal(moved.relevant, [[0, 0], [0, 1], [1, 0]])
    scores = np.arange(12.0).reshape(4, 3)
    assert questions.total(scores, asked).tolist() == [2 + 8, 3]
    with pytest.raises(ValueError, match="lacks queries or training images"):
        questions.elsewhere(asked, (here, there), (ids[0], np.array([20, 40])))
    with pytest.raises(ValueError, match="lacks queries or training images"):
        questions.elsewhere(asked, (here, there[:2]), ids)


def test_marks_are_asked_in_groups_by_class_and_generated_images_in_one():
    module = types.SimpleNamespace(
        CLASSES=(1,), is_marked=lambda ids: ids == 8, shows_mark=lambda x: x[:, 0, 0, 0] > 0
    )
    train = Examples(np.zeros((2, 1, 1, 1), np.uint8), np.array([1, 2]), np.array([8, 9]))
    images, labels = np.array([1.0, 1, -1]).reshape(3, 1, 1, 1), np.array([1, 2, 1])
    asked = questions.ask("marks", module, train, "val", images, labels, [0, 1, 2])
    assert asked.groups.tolist() == ["class with marks", "class without marks"]
    np.testing.assert_array_equal(asked.relevant, [[1, 1], [0, 0]])
    asked = questions.ask("marks", module, train, "gen", images, labels, [0, 1, 2])
    assert asked.groups.tolist() == ["any class", "any class"]
    copied = types.SimpleNamespace(digit_of=lambda ids: ids - 8, asked_about=lambda: {1: 1, 0: 1})
    asked = questions.ask("copies", copied, train, "val", images, labels, [1, 2])
    assert asked.groups.tolist() == ["1 copy", "1 copy"]
    assert asked.queries.tolist() == [2, 2]  # black images, as the last query
    np.testing.assert_array_equal(asked.relevant, [[0, 1], [1, 0]])
    asked = questions.ask("labels", module, train, "val", images, labels, [1])
    np.testing.assert_array_equal(asked.relevant, [[0], [1]])
