"""Shapes of the answer page's charts."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dasbench.reports import answer_charts as charts

BAR = re.compile(r"M(\S+) (\S+)v(\S+)h(\S+)v(\S+)z")
SCORES = st.floats(-1e6, 1e6)


def boxes(path):
    """[bars, 4]: left, foot, height upwards, width."""
    found = [[float(x) for x in match] for match in BAR.findall(path)]
    return np.array([[x, y, -up, width] for x, y, up, width, _ in found]).reshape(-1, 4)


def test_bars_stand_side_by_side_in_proportion():
    drawn = boxes(charts.bars(np.array([1.0, 0.0, 0.5, 0.25])))
    assert drawn[:, 2].tolist() == [40, 20, 10]
    assert (drawn[:, 1] == 40).all()
    left, right = drawn[:, 0], drawn[:, 0] + drawn[:, 3]
    assert left.tolist() == pytest.approx([3.125, 53.125, 78.125], abs=0.01)
    assert (right <= [25, 75, 100]).all()


def test_a_histogram_counts_each_group_in_the_same_bins():
    """The slow way: for each bin, count what lies in it."""
    rng = np.random.default_rng(0)
    training, decoys = rng.gamma(1, 2, 300), rng.gamma(1, 1, 50)
    drawn = charts.histogram(training, decoys, np.array([0]))
    scores = np.concatenate([training, decoys])
    typical = np.median(scores)
    places = {"t": np.log1p(training / typical), "d": np.log1p(decoys / typical)}
    low = min(group.min() for group in places.values())
    width = (max(group.max() for group in places.values()) - low) / charts.BINS
    heights = {}
    for name, group in places.items():
        bins = np.minimum(((group - low) / width).astype(int), charts.BINS - 1)
        heights[name] = [((bins == b).sum() / len(group)) ** 0.5 for b in range(charts.BINS)]
    tallest = max(heights["t"] + heights["d"])
    expected = [20 * height / tallest for height in heights["t"] if height]
    assert boxes(drawn.training)[:, 2] == pytest.approx(expected, rel=0.01)
    expected = [-20 * height / tallest for height in heights["d"] if height]
    assert boxes(drawn.decoys)[:, 2] == pytest.approx(expected, rel=0.01)


def test_images_above_all_decoys_are_counted_and_lie_to_the_right():
    training, decoys = np.array([0.1, 5.0, 2.0, 7.0]), np.array([0.2, 2.0])
    drawn = charts.histogram(training, decoys, np.array([3, 1, 2]))
    assert drawn.above == 2, "a tie with a decoy is not above it"
    assert drawn.marks[0] == 100
    assert drawn.marks[0] > drawn.marks[1] > drawn.highest == drawn.marks[2]


@example(np.array([1e6, 5e-324, 5e-324]), np.array([5e-324]))
@given(
    arrays.arrays(np.float64, st.integers(1, 20), elements=SCORES),
    arrays.arrays(np.float64, st.integers(1, 20), elements=SCORES),
)
def test_any_scores_stay_inside_the_box(training, decoys):
    drawn = charts.histogram(training, decoys, np.arange(len(training)))
    assert all(0 <= x <= 100 for x in [*drawn.marks, drawn.highest])
    both = np.concatenate([boxes(drawn.training), boxes(drawn.decoys)])
    assert (both[:, 0] >= 0).all()
    assert (both[:, 0] + both[:, 3] <= 100.01).all()
    assert (np.abs(both[:, 2]) <= 20).all()
