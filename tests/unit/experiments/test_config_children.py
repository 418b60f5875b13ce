"""Experiments with a parent: what they share, what is their own, and which parents there may be."""

import pytest
import yaml

from dasbench.experiments import config
from experiment_files import load, raw, refusal

CHILD = {"title": "child", "parent": "smoke", "methods": {"das": {}}}


def test_a_child_uses_what_its_parent_has(blank):
    parent, child = config.load("smoke", blank), load(blank, CHILD)
    for section in config.SHARED:
        assert child[section] == parent[section]
    assert "outputs" in config.SHARED  # they are measured once, with the parent's settings
    assert (child["parent"], child["seed_name"], child["name"]) == ("smoke", "smoke", "changed")
    assert child["removal"]["methods"] == []


def test_a_child_overrides_single_keys_of_what_is_its_own(blank):
    child = load(blank, {**CHILD, "features": {"timesteps": 4}})
    assert child["features"]["timesteps"] == 4
    assert child["features"]["dimensions"] == raw()["features"]["dimensions"]


def test_a_grandchild_shares_the_root(blank):
    path = blank / config.FOLDER / "middle.yaml"
    path.write_text(yaml.safe_dump(CHILD))
    try:
        grandchild = load(blank, {**CHILD, "parent": "middle"})
    finally:
        path.unlink()
    assert (grandchild["parent"], grandchild["seed_name"]) == ("middle", "smoke")


@pytest.mark.parametrize("section", config.SHARED)
def test_a_child_has_none_of_the_shared_sections(blank, section):
    message = refusal(blank, {**CHILD, section: raw().get(section)})
    assert f"{section} cannot stand beside parent: smoke" in message


@pytest.mark.parametrize("parent", ["changed", "gone"])
def test_parents_must_exist_and_not_lead_back(blank, parent):
    assert f"parent is {parent}" in refusal(blank, {**CHILD, "parent": parent})


def test_a_ring_of_parents_is_told(blank):
    path = blank / config.FOLDER / "middle.yaml"
    path.write_text(yaml.safe_dump({**CHILD, "parent": "changed"}))
    try:
        assert "(changed -> middle -> changed)" in refusal(blank, {**CHILD, "parent": "middle"})
    finally:
        path.unlink()
