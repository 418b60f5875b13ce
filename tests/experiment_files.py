"""Experiment files for tests: the smoke experiment, changed, in a repository of its own."""

import shutil
from pathlib import Path

import pytest
import yaml

from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.experiments.files.resolved import Resolved, load_all

ROOT = Path(__file__).parents[1]


def raw(name="smoke"):
    """An experiment file as it is written."""
    return yaml.safe_load((ROOT / config.FOLDER / f"{name}.yaml").read_text())


def make_repository(root):
    """A repository with the smoke experiment only."""
    (root / config.FOLDER).mkdir(parents=True)
    shutil.copy(ROOT / config.FOLDER / "smoke.yaml", root / config.FOLDER)
    return root


def load(root, data, name="changed"):
    """Write an experiment (a dict or YAML text), load it, remove it again."""
    path = root / config.FOLDER / f"{name}.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
    try:
        return config.load(name, root)
    finally:
        path.unlink()


def resolved(root, **sections):
    """The smoke experiment with other sections, as ``experiments.files`` takes it."""
    return Resolved(load(root, {**raw(), **sections}))


def child(root, name="child", **sections):
    """A child of smoke with das alone, unless its sections say more."""
    data = {"title": name, "parent": "smoke", "methods": {"das": {}}}
    return Resolved(load(root, {**data, **sections}, name))


def load_family(root, methods, **children):
    """Load smoke with children, name -> sections, that have ``methods`` if they give no others."""
    for name, sections in children.items():
        data = {"title": name, "parent": "smoke", "methods": methods, **sections}
        (root / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(data))
    return load_all(root)


def refusal(root, data, name="changed"):
    """The sentence by which an experiment file is refused."""
    with pytest.raises(UserError) as caught:
        load(root, data, name)
    return str(caught.value)
