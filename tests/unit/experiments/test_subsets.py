"""Masks: fixed size, uniform inclusion, class shares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dasbench import seeds
from dasbench.experiments import subsets

LABELS = np.repeat([0, 1, 2], [5, 11, 4])


def masks(count, labels=LABELS, fraction=0.5, stratify=False):
    rngs = (seeds.generator("subsets", m, "mask") for m in range(count))
    return np.stack([subsets.draw_mask(labels, fraction, stratify, rng) for rng in rngs])


@settings(max_examples=200, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    fraction=st.floats(0.01, 0.99),
    stratify=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_size_is_fixed(labels, fraction, stratify, seed):
    labels = np.array(labels)
    size = round(fraction * len(labels))
    rng = seeds.generator(seed)
    if not 0 < size < len(labels):
        with pytest.raises(ValueError, match=r"subsets.fraction .* choose one with 1 to"):
            subsets.draw_mask(labels, fraction, stratify, rng)
        return
    mask = subsets.draw_mask(labels, fraction, stratify, rng)
    assert mask.dtype == bool
    assert mask.shape == labels.shape
    assert mask.sum() == size
    if stratify:
        for label in np.unique(labels):
            exact = (labels == label).sum() * size / len(labels)
            assert abs(mask[labels == label].sum() - exact) < 1


@pytest.mark.parametrize("stratify", [False, True])
def test_every_example_is_as_likely_as_its_class_mates(stratify):
    drawn = masks(4000, stratify=stratify)
    # shares 2.5, 5.5 and 2 of 10 places: the first of the tied remainders takes the spare place
    expected = np.repeat([3 / 5, 5 / 11, 2 / 4], [5, 11, 4]) if stratify else np.full(20, 0.5)
    assert np.abs(drawn.mean(0) - expected).max() < 5 * (0.25 / 4000) ** 0.5


def test_pairs_are_as_likely_as_in_a_uniform_subset_of_fixed_size():
    drawn = masks(4000).astype(float)
    together = drawn.T @ drawn / 4000
    off_diagonal = together[~np.eye(20, dtype=bool)]
    assert np.abs(off_diagonal - (10 / 20) * (9 / 19)).max() < 5.5 * (0.24 * 0.76 / 4000) ** 0.5


def test_stratified_masks_keep_the_share_of_each_class_and_others_do_not():
    labels = np.repeat(np.arange(10), 30)
    shares = [masks(20, labels, 0.5, kept)[:, labels == 3].sum(1) for kept in (True, False)]
    assert set(shares[0]) == {15}
    assert len(set(shares[1])) > 3


def test_class_sizes_add_up_by_largest_remainders():
    labels = np.repeat([0, 1, 2, 3], [3, 3, 3, 1])  # exact shares 0.9, 0.9, 0.9, 0.3 of 3
    for mask in masks(10, labels, 0.3, stratify=True):
        assert [mask[labels == label].sum() for label in range(4)] == [1, 1, 1, 0]


def test_twice_as_many_masks_leave_the_old_ones():
    np.testing.assert_array_equal(masks(8), masks(16)[:8])
    assert len({mask.tobytes() for mask in masks(16)}) == 16


@pytest.mark.parametrize("fraction", [0.0, 0.001, 1.0, 1.5])
def test_empty_and_whole_subsets_are_refused(fraction):
    with pytest.raises(ValueError, match=f"{fraction} of 20 examples"):
        masks(1, fraction=fraction)
