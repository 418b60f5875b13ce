"""One list of subcommands: what ./run does, its help, and names that no experiment may bear."""

import re

import pytest

from dasbench.commands import cli
from dasbench.core.subcommands import SUBCOMMANDS
from experiment_files import ROOT, make_repository, raw, refusal
from launcher import start, stood_in, usual_tools


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("repository"))


def test_every_subcommand_has_a_function():
    assert [*cli.COMMANDS, "help"] == list(SUBCOMMANDS)


def test_the_help_has_a_line_for_every_subcommand(tmp_path):
    shown = start(stood_in(tmp_path / "here"), "help", path=usual_tools(tmp_path)).stdout
    words = re.findall(r"^\./run ([a-z][a-z|-]+)", shown, re.MULTILINE)
    listed = [name for word in words for name in word.split("|")]
    assert sorted(listed) == sorted(SUBCOMMANDS)


def refused_names():
    return [name for name in SUBCOMMANDS if "-" not in name]


@pytest.mark.parametrize("name", refused_names())
def test_no_experiment_bears_the_name_of_a_subcommand(blank, name):
    message = refusal(blank, raw(), name)
    assert message.startswith(f"config/experiments/{name}.yaml: {name} is the name of")
    assert message.endswith("rename the file")


def rules():
    """Names that stand in the rule files, as the slowest reader finds them."""
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for line in file.read_text().splitlines():
            words = line.replace(":", " :").split()
            if words[:1] == ["rule"] and words[1] != ":":
                yield words[1]
            elif words[:2] == ["use", "rule"]:
                yield words[words.index("as") + 1]


def test_no_experiment_bears_the_name_of_a_rule(tmp_path):
    root = make_repository(tmp_path)
    (root / "workflow").mkdir()
    (root / "workflow/rules").symlink_to(ROOT / "workflow/rules")
    (root / "scripts").symlink_to(ROOT / "scripts")
    names = set(rules())
    assert {"score", "score_kind", "summarise_embedded_removal"} <= names
    for name in (*sorted(names), "train_base_smoke"):
        assert "rename the file" in refusal(root, raw(), name)
