"""The figure of sampling paths draws the numbers of its tables."""

import pytest

from dasbench.errors import UserError
from dasbench.reports.figures import trajectory
from synthetic_studies import along_paths

JUDGED, PLACES = along_paths()


def test_methods_stand_by_their_lds_along_the_path_with_a_point_for_each_target():
    judged, path = trajectory.panels(JUDGED, PLACES).axes
    names = [label.get_text() for label in judged.get_yticklabels()]
    assert names == ["floor", "das", "random"]
    points = [line for line in judged.lines if line.get_marker() == "o"]
    drawn = sorted(float(line.get_xdata()[0]) for line in points)
    assert drawn == pytest.approx(sorted(100 * JUDGED.lds))
    correlation, relative, _ = path.lines
    assert list(correlation.get_ydata()) == [0.3, 0.9, 0.6]
    assert list(relative.get_ydata()) == [0.25, 1.0, 0.5]


@pytest.mark.parametrize("empty", [0, 1])
def test_a_table_without_rows_is_refused(empty):
    given = [JUDGED, PLACES]
    given[empty] = given[empty].iloc[:0]
    with pytest.raises(UserError, match=r"trajectory/(lds|places)\.csv"):
        trajectory.panels(*given)
