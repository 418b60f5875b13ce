"""The figure of rules for the damping says what the table says."""

import itertools

import pytest

from dasbench.errors import UserError
from dasbench.reports.figures import damping_rules, style
from synthetic_studies import METHODS, SETS
from synthetic_studies import damping_rules as damping_rules_table


@pytest.fixture
def rules():
    return damping_rules_table()


def words(panel):
    return [label.get_text() for label in (*panel.get_yticklabels(), *panel.get_xticklabels())]


def test_each_panel_has_the_losses_of_a_set_and_kind(rules):
    panels = damping_rules.losses(rules).axes
    titles = [f"{n}: {style.QUERY_TITLES[k]}" for n in ("digits", "emoji") for k in ("val", "gen")]
    assert [panel.get_title(loc="left") for panel in panels] == titles
    own = rules[rules.own & (rules.target == "loss")]
    order = ["each_kind", "gcv_query", "agreement"]  # retrained models first, no oracle
    assert words(panels[2]) == [*order, *METHODS]
    for panel, (name, kind) in zip(panels, itertools.product(SETS, ("val", "gen")), strict=True):
        part = own[(own.experiment == name) & (own.queries == kind)].set_index(["rule", "method"])
        shown = {text.get_position(): text.get_text() for text in panel.texts}
        for (i, rule), (j, method) in itertools.product(enumerate(order), enumerate(METHODS)):
            assert shown[j + 0.5, i + 0.5] == f"{100 * part.lost[rule, method]:.1f}"
        assert panel.lines[0].get_ydata() == [1, 1]


def test_a_rule_without_a_choice_has_an_empty_cell(rules):
    gap = (
        (rules.rule == "agreement")
        & (rules.method == "das")
        & (rules.experiment == "dampings_emoji")
    )
    panels = damping_rules.losses(rules[~gap]).axes
    assert [len(panel.texts) for panel in panels] == [6, 6, 5, 5]


def test_equal_tables_are_equal_bytes(rules, tmp_path):
    paths = [tmp_path / f"{i}.{form}" for form in ("svg", "png") for i in (0, 1)]
    for path in paths:
        style.save(damping_rules.losses(rules), path)
    first, again, other, same = (path.read_bytes() for path in paths)
    assert first == again
    assert other == same


def test_a_table_without_a_column_is_refused(rules):
    with pytest.raises(UserError, match=r"dampings/rules.csv lacks the columns \['lost'\]"):
        damping_rules.losses(rules.drop(columns="lost"))
