"""The three noise policies: which images share noise and which do not."""

import itertools

import numpy as np
import pytest

from dasbench import seeds
from dasbench.diffusion import noise
from tiny import AXES, SHAPE


def draw(policy="keyed", split="train", examples=(5,), t=50, repeat=0, axes=AXES):
    return noise.draw(policy, axes, split, examples, t, repeat, SHAPE)


def all_different(arrays):
    return all(not np.array_equal(a, b) for a, b in itertools.combinations(arrays, 2))


def test_keyed_noise_differs_by_split_example_timestep_draw_and_stream():
    changed = [{}, {"split": "val"}, {"split": "gen"}, {"examples": [6]}, {"t": 51}, {"repeat": 1}]
    changed += [{"axes": (*AXES, "features")}, {"axes": (AXES[0], 4)}, {"axes": ("other", 3)}]
    arrays = [draw(**change)[0] for change in changed]
    assert arrays[0].shape == SHAPE
    assert arrays[0].dtype == np.float32
    assert all_different(arrays)


def test_keyed_noise_belongs_to_the_example_not_to_its_place():
    together = draw(examples=[9, 2, 5])
    for place, example in enumerate([9, 2, 5]):
        np.testing.assert_array_equal(together[place], draw(examples=[example])[0])
    np.testing.assert_array_equal(draw(examples=np.array([5])), draw(examples=[5]))
    expected = seeds.generator(*AXES, "keyed", "train", 5, 50, 0).standard_normal(SHAPE, np.float32)
    np.testing.assert_array_equal(draw()[0], expected)


def test_common_noise_is_one_array_for_every_image():
    one = draw("common")[0]
    for split, examples in itertools.product(("train", "val", "gen"), ([5], [1, 2, 3], range(40))):
        many = draw("common", split, examples)
        assert many.shape == (len(examples), *SHAPE)
        assert all(np.array_equal(one, each) for each in many)
    assert all_different([one, *(draw("common", **c)[0] for c in ({"t": 51}, {"repeat": 1}))])
    assert all_different([one, draw("common", axes=(AXES[0], 4))[0], draw("keyed")[0]])
    expected = seeds.generator(*AXES, "common", 50, 0).standard_normal(SHAPE, np.float32)
    np.testing.assert_array_equal(one, expected)


def test_common_noise_of_one_image_may_be_changed_alone():
    many = draw("common", examples=[1, 2])
    many[0] += 1
    assert not np.array_equal(many[0], many[1])


def test_batch_noise_repeats_after_sixteen_positions():
    many = draw("batch", examples=range(40))
    for i, j in itertools.combinations(range(40), 2):
        assert np.array_equal(many[i], many[j]) == ((i - j) % 16 == 0)
    np.testing.assert_array_equal(draw("batch", examples=[17, 3]), many[[1, 3]])
    others = [{"t": 51}, {"repeat": 1}]
    assert all_different([many[5], *(draw("batch", **c)[0] for c in others)])


def test_batch_noise_is_that_of_the_place_whatever_the_split():
    """Released code seeds every batch alike: a query shares noise with images at its place."""
    for split in ("val", "gen"):
        np.testing.assert_array_equal(
            draw("batch", split, range(20)), draw("batch", "train", range(20))
        )


@pytest.mark.parametrize("policy", noise.POLICIES)
def test_noise_is_standard_normal(policy):
    many = np.concatenate([draw(policy, examples=range(16), t=t) for t in range(40)])
    if policy == "common":
        many = many[::16]
    assert abs(many.mean()) < 5 / many.size**0.5
    assert abs(many.var() - 1) < 5 * (2 / many.size) ** 0.5


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="keyed, common, batch, got 'shared'"):
        draw("shared")
