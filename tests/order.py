"""Which tests run in which process and order, and what they took: for pytest and pytest-xdist."""

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from clones import ROOT, compiled

DURATIONS, SHOWN = ROOT / "logs/tests/durations.txt", 60
# One process runs all tests of a group, in order: kills, full disks and other moments in time.
TOGETHER = {"faults": "faults", "test_scale": "moments", "test_slurm": "moments"}
# The longest groups start first, so that no process is left alone with one of them.
FIRST = """faults test_model_families test_paper_experiments moments test_children test_remotes
    test_reruns test_own_images test_story test_kubernetes test_bench""".split()


def group(path):
    """The group of the tests in a file: the file, as a rule, since its fixtures are made once."""
    return TOGETHER.get(path.stem) or TOGETHER.get(path.parent.name) or path.stem


def rank(item):
    """Place of a test's group in the order; then slow groups, then the others."""
    name = group(item.path)
    return FIRST.index(name) if name in FIRST else len(FIRST)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave out what is for --deep alone, and put the rest in order and in groups."""
    if not config.getoption("--deep"):
        left_out = [item for item in items if item.get_closest_marker("deep")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    slow = {group(item.path) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (rank(item), group(item.path) not in slow, group(item.path)))


class Groups(LoadScopeScheduling):
    """Gives all tests of a group to one process."""

    def _split_scope(self, nodeid):
        return group(Path(nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """In the place of loadgroup, whose marks xdist 3.8 loses with pytest 9.2."""
    return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Keep the durations in the process that hears of all tests; compile the package once."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations())
        compiled(ROOT)


class Durations:
    """Writes the longest setups, calls and teardowns, and the sum of each file."""

    def __init__(self):
        self.seconds = []  # (seconds, phase, test)

    def pytest_runtest_logreport(self, report):
        self.seconds.append((report.duration, report.when, report.nodeid.partition("@")[0]))

    def pytest_sessionfinish(self):
        files = {}
        for seconds, _, test in self.seconds:
            file = test.partition("::")[0]
            files[file] = files.get(file, 0) + seconds
        longest = sorted(self.seconds, reverse=True)[:SHOWN]
        lines = [f"{seconds:8.2f}s {phase:8} {test}" for seconds, phase, test in longest]
        sums = sorted(((seconds, file) for file, seconds in files.items()), reverse=True)
        lines += ["", *(f"{seconds:8.2f}s {file}" for seconds, file in sums)]
        DURATIONS.parent.mkdir(parents=True, exist_ok=True)
        DURATIONS.write_text("\n".join(lines) + "\n")
