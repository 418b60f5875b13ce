"""The floor beside an answer is the benchmark's, but for its precision."""

import numpy as np
import pytest

from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point
from dasbench.commands import pixel_floor
from dasbench.commands.index_settings import FLOOR
from dasbench.registry import METHODS

RNG = np.random.default_rng(0)
TRAIN, QUERIES = (RNG.integers(0, 256, (n, 4, 5, 3)).astype(np.uint8) for n in (40, 3))


@pytest.mark.parametrize("centre", ["zero", "black", "mean"])
def test_it_is_the_floor_of_the_benchmark(centre):
    point = Point(centre=centre, power=2)
    inputs = interface.Inputs(
        train_images=TRAIN,
        train_labels=np.zeros(40, np.int64),
        train_ids=np.arange(40),
        query_images=QUERIES.transpose(0, 3, 1, 2) / 127.5 - 1,
        query_labels=np.zeros(3, np.int64),
        train_features=None,
        query_features=None,
        residuals=None,
        scores=None,
        axes=("test",),
    )
    ((_, expected),) = interface.path(METHODS[FLOOR], inputs, [point])
    found = pixel_floor.score(TRAIN, QUERIES, point)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    assert (found.key, found.values.dtype) == (FLOOR, np.float64)


def test_an_image_is_most_like_itself():
    assert pixel_floor.score(TRAIN, TRAIN[:5]).values.argmax(axis=0).tolist() == [0, 1, 2, 3, 4]
