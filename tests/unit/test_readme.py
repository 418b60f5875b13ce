"""What README promises is what is there."""

import re
from pathlib import Path

import pytest

from dasbench import artifacts, cli, config, reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_result_table_is_the_reference():
    expected = reference.table(artifacts.load_json(ROOT / "reference" / "digits.json"))
    shown = README.split("<!-- table:begin -->")[1].split("<!-- table:end -->")[0]
    assert shown.strip() == expected


def test_every_command_exists():
    known = {*cli.COMMANDS, *config.names(ROOT), "help"}
    named = set(re.findall(r"\./run ([a-z]+)\b", README))
    assert named
    assert named <= known


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("name", ["random", "das", "dtrak", "trak"])
def test_the_table_has_every_primary_method(name):
    assert f"| `{name}` |" in README


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
