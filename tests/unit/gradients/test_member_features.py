"""Features of one timestep after the other are those of all timesteps at once."""

import numpy as np
import pytest

from dasbench.diffusion.model_inputs import Split
from dasbench.gradients import features, member_features
from tiny import AXES

SETTINGS = {
    **{"readout": "loss", "normalise": False, "noise": "common", "timestep_rule": "midpoint"},
    **{"timesteps": 3, "draws": 1, "dimensions": 300, "projection": "kronecker"},
}


@pytest.fixture
def splits(tiny):
    return {
        name: Split(images, np.array(tiny.ids[name]), None)
        for name, images in tiny.images.items()
        if name != "gen"
    }


def test_every_timestep_has_its_features(tiny, splits):
    made = features.Extractor(tiny.unet, tiny.process, SETTINGS, AXES)
    found = list(member_features.by_step(made, splits, made.grid))
    assert [t for t, _ in found] == made.grid.tolist()
    for name, split in splits.items():
        (expected,) = made.by_timestep(split.images, split.keys, name)
        for k, (_, each) in enumerate(found):
            np.testing.assert_allclose(each[name], expected[k], rtol=1e-5, atol=1e-8)


def test_other_timesteps_than_those_of_the_settings(tiny, splits):
    made = features.Extractor(tiny.unet, tiny.process, SETTINGS, AXES)
    ((t, found),) = member_features.by_step(made, splits, np.array([made.grid[1]]))
    (expected,) = made.at(1).by_timestep(splits["train"].images, splits["train"].keys, "train")
    assert t == made.grid[1]
    np.testing.assert_array_equal(found["train"], expected[0])


def test_three_times_as_many_midpoints_contain_the_others():
    grids = member_features.grids(SETTINGS, [1, 3, 9, 27], 1000)
    assert [len(grid) for grid in grids] == [1, 3, 9, 27]
    for few, many in zip(grids, grids[1:], strict=False):
        assert set(few) < set(many)


def test_some_images_of_a_split_keep_their_noise(tiny, splits):
    keyed = {**SETTINGS, "noise": "keyed"}
    made = features.Extractor(tiny.unet, tiny.process, keyed, AXES)
    some = {name: member_features.about(split, [2, 0]) for name, split in splits.items()}
    whole = dict(member_features.by_step(made, splits, made.grid[:1]))
    part = dict(member_features.by_step(made, some, made.grid[:1]))
    for name, phi in part[made.grid[0]].items():
        expected = whole[made.grid[0]][name][[2, 0]]
        np.testing.assert_allclose(phi, expected, rtol=1e-5, atol=1e-8)
