"""The campaign of faults: a sample always, the whole with ``./run test --faults``."""

import shutil

import pytest

from campaign import Ledger, blank_clone
from clones import Clone, checkout

LEDGER = Ledger()


def pytest_collection_modifyitems(config, items):
    """Without --faults leave out what only the whole campaign tries."""
    if config.getoption("--faults"):
        return
    left_out = [item for item in items if item.get_closest_marker("campaign")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session):
    if session.config.getoption("--faults") and LEDGER.rows:
        LEDGER.write()


@pytest.fixture
def fault():
    """``fault(name)`` begins a row of the table, ``fault(name, times, outcome)`` ends it."""

    def note(name, *result):
        LEDGER.end(name, *result) if result else LEDGER.begin(name)

    return note


@pytest.fixture
def new_clone(tmp_path):
    """Makes clones in which nothing has been made."""
    return lambda name: blank_clone(tmp_path / name)


@pytest.fixture
def blank_repository(tmp_path):
    """A clone in which nothing has been made."""
    return checkout(tmp_path / "clone")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A clone in which small and other were made without any fault; not to be changed."""
    clone = blank_clone(tmp_path_factory.mktemp("undisturbed") / "clone")
    clone.run("small", "other")
    return clone


@pytest.fixture
def sound(undisturbed, tmp_path):
    """A copy of `undisturbed` that a test may damage."""
    shutil.copytree(undisturbed.folder, tmp_path / "clone", symlinks=True)
    return Clone(tmp_path / "clone")
