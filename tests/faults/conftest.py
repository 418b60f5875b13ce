"""The campaign of faults: a sample always, the whole with ``./run test --faults`` or ``--deep``."""

import pytest

from campaign import Ledger, blank_clone
from clones import RECORDED, Clone, checkout, copied

LEDGER = Ledger()


def is_whole(config):
    """Whether the whole campaign is run, and its page renewed."""
    return config.getoption("--faults") or config.getoption("--deep")


@pytest.fixture(scope="session")
def whole(pytestconfig):
    """Whether tests that sample try all that they know."""
    return is_whole(pytestconfig)


def pytest_collection_modifyitems(config, items):
    """Without --faults and --deep leave out what only the whole campaign tries."""
    if is_whole(config):
        return
    left_out = [item for item in items if item.get_closest_marker("campaign")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session):
    if is_whole(session.config) and LEDGER.rows:
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
    return checkout(tmp_path / "clone", experiments=RECORDED)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A clone in which small and other were made without any fault; not to be changed."""
    clone = blank_clone(tmp_path_factory.mktemp("undisturbed") / "clone")
    clone.run("small", "other")
    return clone


@pytest.fixture
def sound(undisturbed, tmp_path):
    """A copy of `undisturbed` that a test may damage."""
    return Clone(copied(undisturbed.folder, tmp_path / "clone"))
