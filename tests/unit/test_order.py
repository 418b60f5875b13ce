"""The order of the tests names files that exist, and keeps what belongs together in one process."""

from pathlib import Path

import order

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("test_*.py"))


def test_every_name_is_that_of_a_group():
    assert set(order.FIRST) <= {order.group(path) for path in FILES}
    names = {path.stem for path in FILES} | {path.parent.name for path in FILES}
    assert set(order.TOGETHER) <= names


def test_files_of_one_name_are_no_accidental_group():
    single = [order.group(path) for path in FILES if path.parent.name != "faults"]
    shared = {name for name in single if single.count(name) > 1}
    assert shared == set(order.TOGETHER.values()) - {"faults"}
