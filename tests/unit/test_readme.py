"""What README promises is what is there."""

import re
from pathlib import Path

import pytest

from dasbench.commands import cli
from dasbench.core import artifacts
from dasbench.experiments import config
from dasbench.reports import reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_result_table_is_the_reference():
    names = ("digits", "fashion", "emoji")
    kept = {name: artifacts.load_json(ROOT / f"reference/{name}.json") for name in names}
    expected = reference.small_table(kept)
    shown = README.split("<!-- table:begin -->")[1].split("<!-- table:end -->")[0]
    assert shown.strip() == expected


def test_it_has_at_most_120_lines():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_every_command_exists(page):
    text = (ROOT / page).read_text()
    made = set(re.findall(r"\./run new-experiment ([a-z]+)", text))
    known = {*cli.COMMANDS, *config.names(ROOT), "help", *made}
    named = set(re.findall(r"\./run ([a-z][a-z-]+)\b", text))
    assert len(named) >= 4
    assert named <= known


def test_the_page_of_commands_has_every_command():
    page = (ROOT / "docs/commands.md").read_text()
    assert set(cli.COMMANDS) <= set(re.findall(r"\./run ([a-z][a-z-]+)\b", page))


@pytest.mark.parametrize("page", ["docs/commands.md", "docs/datasets.md"])
def test_no_experiment_is_written_twice(page):
    """The second would be refused: the file is there."""
    made = re.findall(r"\./run new-experiment ([a-z]+)", (ROOT / page).read_text())
    assert len(made) == len(set(made)) >= 3


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_small_table_leaves_a_dash_where_nothing_was_judged():
    row = {"method": "das", "queries": "val", "target": "loss", "lds": 0.2, "lo": 0.1, "hi": 0.3}
    bound = {"queries": "val", "target": "loss", "ceiling": 0.9, "lo": 0.8, "hi": 1.0}
    lines = reference.small_table({"a": {"lds": [row], "ceiling": [bound]}}).splitlines()
    assert lines[0] == "| method | `a`, held-out | `a`, generated |"
    assert "| DAS, `das` | 20.0 (10 to 30) | – |" in lines
    assert "| random scores, `random` | – | – |" in lines
    assert lines[-1] == "| *ceiling* | 90.0 (80 to 100) | – |"


ROW = {"method": "das", "queries": "val", "target": "loss", "lds": 0.2, "lo": 0.1, "hi": 0.3}


def test_a_result_inside_the_interval_is_as_expected():
    assert reference.outside([{**ROW, "lds": 0.11}], [ROW]) == []


def test_a_result_outside_the_interval_is_told():
    (sentence,) = reference.outside([{**ROW, "lds": 0.35}], [ROW])
    assert "0.3500" in sentence
    assert "0.1000" in sentence


def test_a_missing_row_is_told():
    (sentence,) = reference.outside([], [ROW])
    assert "no such row" in sentence


def test_the_table_says_what_does_not_apply():
    """A method of generated images alone is ordered by what it has."""
    rows = [
        {**ROW, "method": name, "queries": kind, "lds": lds, "transform": "identity"}
        for name, kind, lds in (
            ("low", "val", 0.1),
            ("low", "gen", 0.2),
            ("part", "gen", 0.3),
            ("high", "val", 0.5),
            ("high", "gen", 0.2),
        )
    ]
    ceiling = [{**ROW, "queries": kind, "ceiling": 0.9} for kind in ("val", "gen")]
    pair = {**ROW, "a": "part", "b": "low", "queries": "gen", "difference": 0.1}
    made = {"lds": rows, "ceiling": ceiling, "comparisons": [pair]}
    lines = reference.table(made).splitlines()
    assert [line.split("`")[1] for line in lines[2:5]] == ["high", "part", "low"]
    assert lines[3] == "| `part` | identity | does not apply | 30.0 (10.0 to 30.0) |"
    assert lines[-1] == "| `part` - `low` | does not apply | 10.0 (10.0 to 30.0) |"
