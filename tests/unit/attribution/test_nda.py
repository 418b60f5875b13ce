"""Nonparametric attribution against loops over patches, and what it says of shifted images."""

from dataclasses import replace

import numpy as np
import pytest

import oracle_floors
from dasbench import seeds
from dasbench.attribution.methods import interface, nda
from dasbench.experiments import config
from dasbench.registry import METHODS
from experiment_files import load, raw

OPTIONS = {**METHODS["nda"], "grid": {"timestep": [100, 700], "patch": [1, 3]}}
AXES = ("tests", 0)


def inputs(images, queries):
    """Of images [N, H, W, C] uint8 and queries [Q, C, H, W]."""
    return interface.Inputs(
        train_images=images,
        train_labels=np.zeros(len(images), np.int64),
        train_ids=np.arange(len(images)),
        query_images=queries.astype(np.float32),
        query_labels=np.zeros(len(queries), np.int64),
        train_features=None,
        query_features=None,
        residuals=None,
        scores=None,
        axes=(*AXES, "methods", "val"),
    )


def problem(height=3, width=4, channels=2):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, height, width, channels)).astype(np.uint8)
    return inputs(images, rng.uniform(-1, 1, (3, channels, height, width)))


def test_scores_are_those_of_the_loops():
    given = problem()
    x = given.train_images.transpose(0, 3, 1, 2) / 127.5 - 1
    q = given.query_images.astype(np.float64)
    path = list(interface.path(OPTIONS, given, interface.grid(OPTIONS, [])))
    assert [dict(point) for point, _ in path] == [
        {"timestep": t, "patch": p} for t in (100, 700) for p in (1, 3)
    ]
    for point, scores in path:
        t = point["timestep"]
        abar = np.prod([1 - (1e-4 + (0.02 - 1e-4) * k / 999) for k in range(t + 1)])
        eps = seeds.generator(*AXES, "methods", "nda", t).standard_normal((2, 3, 4))
        expected = oracle_floors.nda(x, q, abar, eps, point["patch"])
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(scores.sum(0), 1, rtol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_blocks_change_nothing(side):
    rng = np.random.default_rng(1)
    train, queries = rng.uniform(-1, 1, (2, 5, 1, 4, 3))
    whole = nda.shares(train, queries, 0.5, side)
    np.testing.assert_allclose(nda.shares(train, queries, 0.5, side, (1, 1)), whole, rtol=1e-6)


def test_a_shifted_copy_is_the_source_of_the_patches_though_its_pixels_differ():
    """The query is image 0 moved by two pixels; in its pixels, another image is nearer."""
    rng = np.random.default_rng(2)
    images = np.full((3, 8, 8, 1), 0, np.uint8)
    images[0, 1:4, 1:4, 0] = rng.integers(100, 256, (3, 3))
    images[1, 3:6, 3:6, 0] = rng.integers(100, 256, (3, 3))
    moved = np.roll(images[0], (2, 2), axis=(0, 1)).transpose(2, 0, 1)[None] / 127.5 - 1
    x = images.transpose(0, 3, 1, 2) / 127.5 - 1
    distances = np.square(x - moved).sum((1, 2, 3))
    assert distances[0] > distances[1]
    options = {**OPTIONS, "grid": {"timestep": [50], "patch": [3]}}
    ((_, scores),) = interface.path(options, inputs(images, moved), interface.grid(options, []))
    assert scores.argmax() == 0


def test_patches_of_a_border_fit_borders_alone():
    """A patch beside an image lies too far from every patch that is full of pixels."""
    corner = nda.patches(np.zeros((1, 1, 3, 3)), 3)[0]
    np.testing.assert_array_equal((corner == nda.OUTSIDE).sum(1), [5, 3, 5, 3, 0, 3, 5, 3, 5])
    assert np.square(corner[0] - corner[4]).sum() / 2 > 200  # exp(-200) at the most noise


def test_large_images_are_compared_as_means_over_squares():
    given = problem(height=34, width=20, channels=1)
    small = nda.reduced(given.query_images)
    assert small.shape == (3, 1, 11, 6)
    expected = given.query_images[1, 0, 3:6, 6:9].mean()
    assert small[1, 0, 1, 2] == pytest.approx(expected, rel=1e-6)
    point = interface.grid(OPTIONS, [])[0]
    ((_, scores),) = interface.path(OPTIONS, given, [point])
    cut = replace(given, query_images=given.query_images[:, :, :33, :18])
    cut = replace(cut, train_images=given.train_images[:, :33, :18])
    ((_, same),) = interface.path(OPTIONS, cut, [point])
    np.testing.assert_array_equal(scores, same)
    unchanged = np.zeros((2, 3, 16, 9))
    np.testing.assert_array_equal(nda.reduced(unchanged), unchanged)


def test_it_joins_an_experiments_methods_but_not_its_floor(blank):
    data = raw() | {"removal": {}, "comparisons": []}
    data["methods"] = {"nearest": {}, "nda": {"grid": {"patch": [3]}}, "floor": {}}
    methods = config.methods(load(blank, data))
    assert [member["name"] for member in methods["floor"]["members"]] == ["nearest"]
    assert methods["nda"]["grid"] == {"timestep": [50, 100, 200, 400], "patch": [3]}
