"""Marks on digits: on the training images that ids name, on all held-out ones, nowhere else."""

import numpy as np

from dasbench.attribution.candidates import pixels
from dasbench.data import digits, digits_marked, files


def test_marks_stand_on_the_named_training_images_and_on_all_held_out_ones():
    plain, read = digits.pool(), digits_marked.read({})
    np.testing.assert_array_equal(read.labels, plain.labels)
    training = read.parts == files.TRAIN
    assert training.sum() == digits_marked.TRAINING
    marked = digits_marked.is_marked(np.arange(len(plain.ids)))
    assert marked.sum() == digits_marked.MARKED
    assert training[marked].all()
    assert set(plain.labels[marked]) == set(digits_marked.CLASSES)
    for i in range(len(plain.ids)):
        expected = plain.images[i].copy()
        if marked[i] or not training[i]:
            expected[6, 0] = expected[6, 1] = expected[7, 0] = expected[7, 1] = 255
        np.testing.assert_array_equal(read.images[i], expected)


def test_a_mark_is_seen_where_it_stands_and_no_digit_looks_like_it():
    read = digits_marked.read({})
    has_mark = (read.parts == files.HELD_OUT) | digits_marked.is_marked(np.arange(len(read.parts)))
    np.testing.assert_array_equal(digits_marked.shows_mark(pixels(read.images)), has_mark)
    assert not digits_marked.shows_mark(pixels(digits.pool().images)).any()
    faint = pixels(read.images[has_mark][:1])
    faint[..., -1, 0] = -0.1  # one pixel of the square is missing
    assert not digits_marked.shows_mark(faint).any()


def test_marks_are_those_of_the_ids_whatever_their_order():
    ids = np.array([5, 900, 17, 5])
    whole = digits_marked.is_marked(np.arange(1797))
    np.testing.assert_array_equal(digits_marked.is_marked(ids), whole[ids])
