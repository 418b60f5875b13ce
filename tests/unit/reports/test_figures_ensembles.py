"""The figure of averages over models: the best form of each, and errors in one sentence."""

import pytest

from dasbench.errors import UserError
from dasbench.reports.figures import ensembles
from synthetic_studies import averages


def test_a_point_is_the_best_form_of_its_average():
    found = ensembles.best(averages())
    assert len(found) == 3 * 2 * 2
    assert set(found.function) == {"square"}


def test_lines_join_averages_with_equal_timesteps():
    held_out, generated = ensembles.points(averages()).axes
    for panel in (held_out, generated):
        lines = [line.get_xydata().tolist() for line in panel.lines]
        assert sorted(map(len, lines)) == [1, 1, 2, 2]
        assert [[6, 32], [12, 34]] in [[[round(v, 6) for v in p] for p in line] for line in lines]
    assert "(val)" in held_out.get_title(loc="left") + held_out.get_title()


def test_a_table_without_columns_is_refused():
    with pytest.raises(UserError, match=r"ensembles/tuning\.csv"):
        ensembles.points(averages().drop(columns="passes"))
