"""Digits at random places: the digit whole, the place from the id alone."""

import numpy as np

from dasbench.data import digits, digits_moved


def test_every_canvas_holds_its_digit_whole_and_nothing_else():
    still, moved = digits.pool(), digits_moved.pool()
    assert moved.images.shape == (1797, 12, 12, 1)
    assert moved.images.dtype == np.uint8
    np.testing.assert_array_equal(moved.labels, still.labels)
    np.testing.assert_array_equal(moved.ids, still.ids)
    for i in range(0, 1797, 97):
        top, left = digits_moved.place(i, 5)
        canvas = moved.images[i].copy()
        np.testing.assert_array_equal(canvas[top : top + 8, left : left + 8], still.images[i])
        canvas[top : top + 8, left : left + 8] = 0
        assert not canvas.any()


def test_places_are_even_and_those_of_the_id():
    places = [digits_moved.place(i, 5) for i in range(1797)]
    assert places[:3] == [digits_moved.place(i, 5) for i in range(3)]
    counts = np.bincount([5 * row + column for row, column in places], minlength=25)
    assert len(counts) == 25
    assert counts.min() > 1797 / 25 - 5 * 9
    assert counts.max() < 1797 / 25 + 5 * 9


def test_pixels_know_less_of_the_class_than_without_moving():
    """The nearest image has the same label for most digits, and for few of the moved ones."""
    shares = []
    for pool in (digits.pool(), digits_moved.pool()):
        x = pool.images[:400].reshape(400, -1) / 127.5 - 1.0
        far = np.square(x[:, None] - x).sum(2) + 1e9 * np.eye(400)
        shares.append((pool.labels[far.argmin(1)] == pool.labels[:400]).mean())
    assert shares[0] > 0.9
    assert shares[1] < 0.75
