"""The three transforms of a score."""

import numpy as np
import pytest

from dasbench.attribution import transforms

SCORES = np.array([[-2.0, 0.5], [0.0, 3.0]])
EXPECTED = {
    "identity": SCORES,
    "square": [[4.0, 0.25], [0.0, 9.0]],
    "signed_square": [[-4.0, 0.25], [0.0, 9.0]],
}


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_each_transform_is_its_formula_and_leaves_its_input(name):
    scores = SCORES.copy()
    np.testing.assert_array_equal(transforms.apply(scores, name), EXPECTED[name])
    np.testing.assert_array_equal(scores, SCORES)


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_small_float32_scores_do_not_underflow(name):
    assert (transforms.apply(np.float32([1e-30]), name) > 0).all()


def test_an_unknown_transform_is_named():
    with pytest.raises(ValueError, match="'cube'"):
        transforms.apply(SCORES, "cube")
