"""The figure of retrieval draws the numbers of its table, a panel for each group of queries."""

import pandas as pd
import pytest

from dasbench.errors import UserError
from dasbench.reports.figures import retrieval
from synthetic_studies import retrieved


def test_every_group_has_a_panel_with_a_bar_for_each_method():
    table = pd.concat([retrieved("gen", ["any class"]), retrieved("val", ["a", "b"])])
    panels = retrieval.bars(table).axes
    titles = ["held-out: a (7)", "held-out: b (7)", "generated: any class (7)"]
    assert [panel.get_title(loc="left") for panel in panels] == titles
    for panel in panels:
        widths = sorted(patch.get_width() for patch in panel.patches)
        assert widths == pytest.approx([0, 0.2, 0.4])
    # the best first, controls last
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert names == ["pixel_cosine", "das", "random"]


def test_held_out_groups_come_first_where_not_all_have_room():
    table = pd.concat([retrieved("gen", "abcd"), retrieved("val", "abcd")])
    titles = [panel.get_title(loc="left") for panel in retrieval.bars(table).axes]
    assert titles == [f"held-out: {group} (7)" for group in "abcd"]


def test_a_table_without_rows_is_refused():
    with pytest.raises(UserError, match=r"retrieval\.csv"):
        retrieval.bars(retrieved("val", ["a"]).iloc[:0])
