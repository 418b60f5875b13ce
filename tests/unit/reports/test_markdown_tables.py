"""Tables from a specification: which records, which rows, what a cell falls back to."""

import numpy as np
import pandas as pd
import pytest

from dasbench.reports.markdown_tables import Column, Form, interval, number, text


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"x": 0.5442, "lo": 0.49, "hi": 0.5806}, "54.4 (49.0 to 58.1) edge"),
        ({"x": -0.5442, "lo": np.nan, "hi": np.nan}, "-54.4 edge"),
        ({"x": np.nan, "lo": np.nan, "hi": np.nan}, "–"),
    ],
)
def test_an_interval_falls_back_to_its_number_and_to_a_dash(record, expected):
    assert text(interval("x", more=" edge"), record) == expected


def test_a_cell_without_values_is_empty():
    assert text(["{x:points}"], {"x": None}) == ""
    assert text(number("x", ".2f"), {"x": 0.126}) == "0.13"


def test_records_of_one_name_are_one_row():
    rows = [
        ("b", "val", 1, True),
        ("a", "gen", 3, True),
        ("b", "gen", 2, True),
        ("c", "val", 9, False),
    ]
    table = pd.DataFrame(rows, columns=["method", "queries", "x", "own"]).assign(base="ref")
    columns = [
        Column("val", ["{x}"], {"queries": "val"}, "none"),
        Column("gen", ["{x}"], {"queries": "gen"}),
    ]
    form = Form({"over `{base}`": "`{method}`"}, columns, where={"own": [True]})
    assert form.markdown(table).splitlines() == [
        "| over `ref` | val | gen |",
        "| --- | --- | --- |",
        "| `b` | 1 | 2 |",
        "| `a` | none | 3 |",
    ]


def test_rows_stand_in_the_order_of_the_prepared_records():
    table = pd.DataFrame({"x": [1, 3, 2]})
    form = Form({"x": "{x}"}, prepare=lambda part: part.sort_values("x"))
    assert form.markdown(table).splitlines()[2:] == ["| 1 |", "| 2 |", "| 3 |"]
