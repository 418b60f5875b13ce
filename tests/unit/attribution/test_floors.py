"""Floors against brute force, their grids, and the selection of one of several floors."""

from dataclasses import replace

import numpy as np
import pytest

import oracle_floors
from dasbench import seeds
from dasbench.attribution.methods import floors, interface
from dasbench.attribution.parameters import Point
from dasbench.evaluation import lds
from dasbench.experiments import config
from dasbench.registry import METHODS
from experiment_files import load, raw, refusal
from stepwise import every_part, predicted

N, Q, TUNING, SHAPE = 9, 6, [1, 4], (3, 4, 2)  # H, W, C
AXES = ("tests", 0)
FLOORS = [name for name, options in METHODS.items() if "form" in options]
COUNTS = {
    "pixel_cosine_power": 24,
    "pixel_rbf": 7,
    "pixel_ridge": 40,
    "nearest": 5,
    "ideal_denoiser": 3,
    "embedding_cosine_power": 16,
    "embedding_rbf": 7,
    "embedding_ridge": 40,
    "embedding_nearest": 5,
}


def make():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, *SHAPE)).astype(np.uint8)
    images[3] = 0  # black: no cosine with the centre black
    images[7] = images[2]  # a tie
    return interface.Inputs(
        train_images=images,
        train_labels=np.zeros(N, np.int64),
        train_ids=np.arange(N),
        query_images=rng.uniform(-1, 1, (Q, 2, 3, 4)).astype(np.float32),
        query_labels=np.zeros(Q, np.int64),
        train_features=rng.standard_normal((N, 5)).astype(np.float32),
        query_features=rng.standard_normal((Q, 5)).astype(np.float32),
        residuals=None,
        scores=None,
        axes=(*AXES, "methods", "val"),
        tuning_queries=np.array(TUNING),
    )


def vectors(inputs, features):
    """x [N, P] and q [Q, P] in float64, by hand."""
    if features == "embeddings":
        return inputs.train_features.astype(float), inputs.query_features.astype(float)
    x = [[image[h, w, c] / 127.5 - 1 for c in range(2) for h in range(3) for w in range(4)]
         for image in inputs.train_images]  # fmt: skip
    return np.array(x), inputs.query_images.reshape(Q, -1).astype(float)


def expected(options, point, inputs):
    x, q = vectors(inputs, options["features"])
    values, d2 = dict(point), oracle_floors.spread(x, q[TUNING])
    if options["form"] in ("rbf", "ridge"):
        values["d2"] = d2
    if options["form"] == "ideal_denoiser":
        values["timesteps"] = range(50, 1000, 100)
        values["noise"] = {
            t: seeds.generator(*AXES, "methods", "ideal_denoiser", t).standard_normal(x.shape[1])
            for t in values["timesteps"]
        }
    return getattr(oracle_floors, options["form"])(x, q, **values)


@pytest.mark.parametrize("name", FLOORS)
def test_a_floor_is_its_formula_at_every_point(name):
    inputs, options = make(), METHODS[name]
    points = interface.grid(options, [0.1])
    assert len(points) == COUNTS[name]
    path = list(interface.path(options, inputs, points))
    assert [point for point, _ in path] == points
    for point, scores in path:
        np.testing.assert_allclose(scores, expected(options, point, inputs), rtol=1e-7, atol=1e-12)


def test_points_stand_in_the_order_that_settles_ties():
    points = interface.grid(METHODS["pixel_ridge"], [])
    assert points[0] == {"width": 0.1, "penalty": 1e-4, "power": 1}
    assert points[1] == {"width": 0.1, "penalty": 1e-4, "power": 2}
    assert points[2] == {"width": 0.1, "penalty": 1e-3, "power": 1}
    assert points[-1] == {"width": 2, "penalty": 0.1, "power": 2}
    centres = [point["centre"] for point in interface.grid(METHODS["pixel_cosine_power"], [])]
    assert centres == ["zero"] * 8 + ["black"] * 8 + ["mean"] * 8


def test_the_floor_joins_the_grids_of_its_members_and_has_their_scores():
    inputs, floor = make(), METHODS["floor"]
    points = interface.grid(floor, [0.1])
    assert len(points) == 24 + 7 + 40 + 5 + 3
    together = dict(interface.path(floor, inputs, points))
    for member in floor["members"]:
        for point, scores in interface.path(member, inputs, interface.grid(member, [0.1])):
            name = member["name"]
            np.testing.assert_array_equal(together[Point(point, floor=name)], scores)


def test_distances_are_in_units_of_the_tuning_queries_of_the_kind_alone():
    inputs, options = make(), METHODS["pixel_rbf"]
    images = inputs.query_images.copy()
    images[[0, 5]] *= 0.1  # no tuning queries
    for queries, equal in (([1, 4], True), ([0, 5], False)):
        changed = replace(inputs, query_images=images, tuning_queries=np.array(queries))
        (point, *_) = interface.grid(options, [])
        ((_, before),) = interface.path(options, inputs, [point])
        ((_, after),) = interface.path(options, changed, [point])
        assert np.array_equal(before[:, 2], after[:, 2]) == equal


def test_a_kernel_is_decomposed_once_for_each_width(monkeypatch):
    made = []

    def decompose(self, width):
        made.append(width)
        return original(self, width)

    original = floors.Space._decompose
    monkeypatch.setattr(floors.Space, "_decompose", decompose)
    options = METHODS["pixel_ridge"]
    points = interface.grid(options, [])
    assert len(every_part(options, make(), points, memory=8 * N)) == len(points) == 40
    assert made == [0.1, 0.2, 0.5, 1, 2]


def test_the_floor_selected_is_the_one_with_the_highest_lds_on_tuning():
    inputs, rng = make(), np.random.default_rng(1)
    masks = np.array([rng.permutation(N) < N // 2 for _ in range(30)])
    truth = rng.standard_normal((1, 30, Q)) + masks @ expected(
        METHODS["pixel_rbf"], {"width": 0.5}, inputs
    )
    best = {}
    for options in (METHODS["floor"], *METHODS["floor"]["members"]):
        table = lds.select(predicted(options, inputs, interface.grid(options, []), masks), truth)
        best[options.get("name")] = table.set_index("transform").loc["identity"]
    chosen = best.pop(None)
    assert chosen["lds"] == max(row["lds"] for row in best.values())
    name = Point.read(chosen["parameters"])["floor"]
    assert Point(Point.read(best[name]["parameters"]), floor=name) == Point.read(
        chosen["parameters"]
    )
    assert np.isnan(chosen["damping"])


def test_members_are_the_floors_of_the_experiment_in_its_order(blank):
    data = raw() | {"removal": {}, "comparisons": []}
    data["methods"] = {
        "nearest": {"grid": {"count": [2]}},
        "das": {},
        "floor": {},
        "narrow": {"like": "pixel_rbf"},
        "embedding_rbf": {},
    }
    for model, kind in ((None, "pixels"), ("a/model", "embeddings")):
        data["embedding"] = {"model": model}
        floor = config.methods(load(blank, data))["floor"]
        names = ["nearest", "narrow"] + ["embedding_rbf"] * (model is not None)
        assert [member["name"] for member in floor["members"]] == names
        assert floor["members"][0]["grid"] == {"count": [2]}
        assert floor["features"] == kind


def test_a_floor_without_floors_and_a_second_one_are_refused(blank):
    data = raw() | {"removal": {}, "comparisons": []}
    data["methods"] = {"floor": {}, "pixel_cosine": {}, "embedding_rbf": {}}
    assert "methods.floor has no floors to select from; add some of pixel" in refusal(blank, data)
    data["methods"] = {"floor": {}, "nearest": {}, "second": {"like": "floor"}}
    assert "methods.second selects a floor as floor does" in refusal(blank, data)
    data["methods"] = {"nearest": {"grid": {"power": [1]}}}
    assert "methods.nearest.grid.power is no parameter of this method; expected count" in refusal(
        blank, data
    )
