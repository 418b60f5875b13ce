"""Points of a grid of parameters: what they equal, how they are written, where a grid ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasbench.attribution.parameters import NO_PARAMETERS, Point, at_end, dampings, product

values = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text())


@given(st.dictionaries(st.text(), values))
def test_a_point_is_read_as_it_was_written(entries):
    point = Point(entries)
    assert Point.read(str(point)) == point == entries
    assert hash(Point.read(str(point))) == hash(point)


def test_a_point_ignores_the_order_and_the_type_of_its_values():
    assert str(Point(b=np.float64(0.1), a="x")) == '{"a":"x","b":0.1}' == str(Point(a="x", b=0.1))
    assert {Point(a=1, b=2): 0}[Point(b=2, a=np.int64(1))] == 0
    assert Point(Point(a=1), a=2, b=3) == {"a": 2, "b": 3}
    assert str(NO_PARAMETERS) == "{}"
    with pytest.raises(ValueError, match="JSON"):
        str(Point(a=np.nan))


def test_a_product_runs_over_the_last_parameter_first():
    points = product({"centre": ["zero", "mean"], "power": [1, 2]})
    assert [(p["centre"], p["power"]) for p in points] == [
        ("zero", 1),
        ("zero", 2),
        ("mean", 1),
        ("mean", 2),
    ]
    assert product({}) == [NO_PARAMETERS]
    assert dampings([1e-8]) == [{"damping": 1e-8}]


def test_only_numbers_have_ends():
    points = product({"centre": ["zero", "black", "mean"], "power": [1, 2, 3]})
    assert [at_end(points, i) for i in range(9)] == [True, False, True] * 3
    assert not at_end([NO_PARAMETERS], 0)
    assert at_end(dampings([0.1]), 0)


def test_ends_are_those_of_the_points_with_the_same_words():
    points = [Point(floor="a", power=p) for p in (1, 2, 3)]
    points += [Point(floor="b", power=p) for p in (3, 9, 27)]
    points += [Point(floor="c")]
    assert [at_end(points, i) for i in range(7)] == [True, False, True, True, False, True, False]
