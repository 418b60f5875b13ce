"""Every registered method where each image's influence is known exactly: better than random.

A method takes the benchmark's whole path: its damping is chosen on tuning subsets and tuning
queries, its LDS measured on others. A new method joins by standing in the registry.
"""

import numpy as np
import pytest

import planted
from dasbench.attribution import transforms
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point
from dasbench.evaluation import lds
from dasbench.registry import METHODS
from stepwise import every_part, predicted

GRID = [1e-4, 1e-3, 1e-2, 0.1, 1.0]
DRAWS = 99
CANNOT = {
    "random": "a control that knows nothing",
    "train_norm": "a control with one score for every query",
    "external": "somebody else's scores",
}


@pytest.fixture(scope="module")
def world():
    return planted.World()


def judge(world, name, kind):
    """Held-out mean LDS, and the mean LDS after each of DRAWS permutations of the examples."""
    options, inputs = world.methods[name], world.inputs(name, kind)
    tuning = range(planted.TUNING)
    grid, masks = interface.grid(options, GRID), world.masks["tune"]
    chosen = lds.select(
        predicted(options, inputs, grid, masks, tuning), world.outputs("tune", kind)[:, :, tuning]
    )
    own = options["transform"]
    point = Point.read(chosen.set_index("transform")["parameters"][own])
    judged = list(range(planted.TUNING, planted.QUERIES))
    (parts,) = every_part(options, inputs, [point], judged).values()
    scores = transforms.apply(parts, own).mean(0)
    truth = world.outputs("eval", kind)[:, :, judged]

    def mean(order):
        each = lds.lds_per_query(world.masks["eval"], scores[order], truth)
        return float(np.nan_to_num(each).mean())

    rng = np.random.default_rng(0)
    shuffled = [mean(rng.permutation(planted.N)) for _ in range(DRAWS)]
    return mean(np.arange(planted.N)), np.array(shuffled)


def first_kind(name):
    return "gen" if "val" in METHODS[name].get("inapplicable", {}) else "val"


@pytest.mark.parametrize("name", [name for name in METHODS if name not in CANNOT])
def test_a_method_does_better_than_random(name, world):
    """Better than its own scores given to the wrong examples, in every one of 99 draws."""
    found, shuffled = judge(world, name, first_kind(name))
    assert found > shuffled.max()
    assert found > 0.1


@pytest.mark.parametrize("name", ["random", "train_norm"])
def test_what_cannot_know_is_told_from_the_others(name, world):
    found, _ = judge(world, name, "val")
    assert found < 0.1


def test_the_truth_is_a_ceiling(world):
    """Exact leave-one-out influence predicts the exact subset models almost perfectly."""
    truth = world.outputs("eval", "val")
    exact = lds.lds_per_query(world.masks["eval"], world.leave_one_out("val"), truth)
    assert exact.mean() > 0.9


def test_the_closed_form_is_where_training_ends(world):
    """The gradient of the expected loss vanishes at W: by sampling x_t of every image and t."""
    rng, total = np.random.default_rng(0), 0.0
    a, x, w = np.sqrt(world.a2), world.flat("train"), world.weight
    for t in range(0, 1000, 10):
        eps = rng.standard_normal((40, planted.N, 16))
        x_t = a[t] * x + world.b[t] * eps
        total = total + np.einsum("enj,enk->jk", x_t @ w.T - eps, x_t) / (40 * planted.N) / 100
    assert np.abs(total).max() < 0.02
    assert np.abs(w).max() > 0.2


def test_reasons_are_given_for_registered_methods_alone():
    assert set(CANNOT) <= set(METHODS)
