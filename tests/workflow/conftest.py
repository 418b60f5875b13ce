"""A clone of the repository in which `smoke` has been made once."""

import shutil

import pytest
from clones import Clone, checkout


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A checkout with smoke made, recorded and pushed to a directory; not to be changed."""
    base = tmp_path_factory.mktemp("made")
    clone = checkout(base / "clone")
    clone.run("smoke")
    clone.call("dvc", "remote", "add", "-d", "store", base / "store")
    clone.run("save", "smoke")
    clone.call("git", "add", "-A")
    clone.call("git", "commit", "-qm", "smoke recorded")
    clone.run("push", "smoke")
    return clone


@pytest.fixture
def copy(made, tmp_path):
    """A copy of `made` that a test may change."""
    shutil.copytree(made.folder, tmp_path / "clone", symlinks=True)
    return Clone(tmp_path / "clone")
