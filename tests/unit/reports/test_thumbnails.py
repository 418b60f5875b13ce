"""Pictures inside a page: exact where there is room, smaller where there is none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dasbench.reports import thumbnails

RNG = np.random.default_rng(0)


def opened(uri):
    head, _, content = uri.partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert head == f"data:image/{picture.format.lower()};base64"
    return picture


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_keep_every_pixel(channels):
    pixels = RNG.integers(0, 256, (5, 7, 9, channels), np.uint8)
    ((uri,),) = thumbnails.fit([(pixels, [3])], 10_000)
    assert np.array_equal(np.asarray(opened(uri)).reshape(7, 9, channels), pixels[3])


def test_large_pictures_shrink_and_keep_their_shape():
    uri = thumbnails.data_uri(np.zeros((600, 300, 3), np.uint8))
    assert opened(uri).size == (128, 256)


def test_many_pictures_share_the_budget():
    pixels = RNG.integers(0, 256, (8, 96, 96, 3), np.uint8)
    groups = [(pixels, range(6)), (pixels, [7, 6])]
    sizes = []
    for budget in (10**6, 10**5, 5 * 10**4):
        first, second = thumbnails.fit(groups, budget)
        assert (len(first), len(second)) == (6, 2)
        assert sum(map(len, first + second)) <= budget
        sizes.append({opened(uri).size + (opened(uri).format,) for uri in first + second})
    assert sizes[0] == {(96, 96, "PNG")}
    assert all(len(size) == 1 for size in sizes), "all pictures of a page are alike"
    assert [next(iter(size))[2] for size in sizes[1:]] == ["JPEG", "JPEG"]
    assert next(iter(sizes[1])) > next(iter(sizes[2]))


def test_the_smallest_form_is_the_last():
    pixels = RNG.integers(0, 256, (1, 96, 96, 3), np.uint8)
    ((uri,),) = thumbnails.fit([(pixels, [0])], 1)
    assert opened(uri).size == (32, 32)
