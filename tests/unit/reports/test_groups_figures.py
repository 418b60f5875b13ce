"""Figures of groups and of ground truths: what is drawn is what the tables say."""

import pytest

import synthetic_groups
import synthetic_results
from dasbench.errors import UserError
from dasbench.reports.figures import groups, truths

NAMES = ["random", "class_match", "floor", "das", "dtrak"]


@pytest.fixture(scope="module")
def tables():
    return synthetic_groups.tables(NAMES, synthetic_results.QUALITY)


def marks(panel):
    """x of every mark of the panel, filled and open."""
    lines = [line for line in panel.lines if line.get_marker() == "o"]
    filled = [x.get_xdata()[0] for x in lines if x.get_markerfacecolor() != "white"]
    return sorted(filled), sorted(x.get_xdata()[0] for x in lines if x.get_xdata()[0] not in filled)


def test_every_correlation_is_a_mark(tables):
    summary, noise = (tables[f"groups/{name}.csv"] for name in ("summary", "noise"))
    val, _gen = groups.points(summary, noise).axes
    rows = summary[(summary.queries == "val") & (summary.target == "loss")]
    rows = rows[rows.measure == "spearman"].set_index("scope")
    filled, _ = marks(val)
    assert filled == pytest.approx(sorted(100 * rows.loc["all", "value"]))
    drawn = [line for line in val.lines if line.get_marker() == "o"]
    assert len(drawn) == 2 * len(NAMES) - 1  # class_match has no order of the others
    labels = [text.get_text() for text in val.get_yticklabels()]
    assert labels == ["das", "dtrak", "floor", "class_match", "random"]
    assert any(list(line.get_xdata()) == [80, 80] for line in val.lines)  # the ceiling


def test_every_truth_has_a_panel_with_the_ranks_of_both_kinds(tables):
    table = tables["groups/truths.csv"]
    figure = truths.panels(table)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["loss", "groups-others\nloss"]
    first = figure.axes[0]
    assert first.get_xlabel() == "rank\nmade_up"
    drawn = sorted(x.get_xdata()[0] for x in first.lines if x.get_marker() == "o")
    assert drawn == sorted(table[table.truth == "loss"]["rank"])
    assert len(drawn) == 2 * len(NAMES)
    order = [text.get_text() for text in first.get_yticklabels()]
    assert order == ["floor", "das", "dtrak", "random", "class_match"]


def test_tables_without_rows_are_said(tables):
    summary, noise = (tables[f"groups/{name}.csv"] for name in ("summary", "noise"))
    with pytest.raises(UserError, match="target loss, has no rows to draw"):
        groups.points(summary[summary.target != "loss"], noise)
    with pytest.raises(UserError, match="lacks the columns"):
        truths.panels(tables["groups/truths.csv"].drop(columns="rank"))
