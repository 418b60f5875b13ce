"""Repeated digits: equal pixels as often as stated, the same held-out images without copies."""

from collections import Counter

import numpy as np

from dasbench.data import digits, digits_repeated, files


def read(dataset):
    return digits_repeated.read({"dataset": dataset})


def test_copies_have_the_pixels_of_their_digit():
    plain, source = digits.pool(), read("digits_repeated")
    originals = digits_repeated.digit_of(np.arange(len(source.labels)))
    np.testing.assert_array_equal(source.images, plain.images[originals])
    np.testing.assert_array_equal(source.labels, plain.labels[originals])


def test_images_stand_as_often_as_stated_and_never_on_both_sides():
    source = read("digits_repeated")
    originals = digits_repeated.digit_of(np.arange(len(source.labels)))
    training = source.parts == files.TRAIN
    assert training.sum() == 1000
    counts = Counter(originals[training].tolist())
    assert len(counts) == digits_repeated.DISTINCT
    asked = digits_repeated.asked_about()
    assert {digit: counts[digit] for digit in asked} == asked
    assert Counter(asked.values()) == {2: 17, 4: 17, 8: 16, 1: digits_repeated.SINGLES}
    assert all(counts[digit] == 1 for digit in counts if digit not in asked)
    assert not set(counts) & set(originals[~training].tolist())


def test_without_copies_the_same_images_stand_once():
    copied, once = read("digits_repeated"), read("digits_once")
    n = len(once.labels)
    np.testing.assert_array_equal(once.images, copied.images[:n])
    np.testing.assert_array_equal(once.parts, copied.parts[:n])
    assert (copied.parts[n:] == files.TRAIN).all()
    assert (once.parts == files.TRAIN).sum() == digits_repeated.DISTINCT
