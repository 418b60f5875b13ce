"""Timesteps against exact fractions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasbench.diffusion import timestep_grids


@pytest.mark.parametrize(
    ("rule", "count", "expected"),
    [
        ("midpoint", 1, [500]),
        ("midpoint", 10, [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]),
        ("midpoint", 3, [166, 500, 833]),
        ("midpoint", 7, [71, 214, 357, 500, 642, 785, 928]),
        ("released", 10, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]),
        ("released", 3, [0, 333, 666]),
        ("midpoint", 1000, list(range(1000))),
        ("released", 1000, list(range(1000))),
    ],
)
def test_timestep_rules(rule, count, expected):
    grid = timestep_grids.timestep_grid(count, 1000, rule)
    assert grid.tolist() == expected
    assert grid.dtype == np.int64


@given(count=st.integers(1, 300), extra=st.integers(0, 1000), rule=st.sampled_from([0, 1]))
def test_timesteps_are_the_floors_of_exact_fractions(count, extra, rule):
    total = count + extra
    grid = timestep_grids.timestep_grid(count, total, ["midpoint", "released"][rule])
    numerators = [(2 * k + 1 if rule == 0 else 2 * k) * total for k in range(count)]
    assert grid.tolist() == [n // (2 * count) for n in numerators]
    assert grid.min() >= 0
    assert grid.max() < total
    assert len(set(grid.tolist())) == count


def test_midpoint_is_the_rule_unless_said():
    assert timestep_grids.timestep_grid(10, 1000)[0] == 50


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_impossible_numbers_of_timesteps_are_refused(count):
    with pytest.raises(ValueError, match=f"1 to 1000, got {count}"):
        timestep_grids.timestep_grid(count, 1000)
