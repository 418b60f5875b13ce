"""docs/reliability.md has a row for all that the campaign of faults tries; none has failed."""

import re

import pytest

from campaign import END, FAULTS, MISSED, PAGE, PHASES, SCRIPTS, START, rows_of

RENEW = "./run test --faults tests/faults/test_X.py renews the page"


@pytest.fixture(scope="module")
def rows():
    return rows_of(PAGE.read_text().split(START)[1].split(END)[0])


def test_every_fault_has_a_row_and_none_has_failed(rows):
    assert set(rows) == FAULTS, RENEW
    assert [fault for fault, row in rows.items() if "not passed" in row] == []


def test_the_kills_are_those_of_all_scripts_that_there_are_now(rows):
    row = rows["`kill -9` at random moments (seeded), several per run"]
    struck, count = map(int, re.search(r"(\d+) of (\d+) scripts were struck", row).groups())
    assert count == len(SCRIPTS), RENEW
    assert count - MISSED <= struck <= count


def test_the_disk_was_full_in_each_phase_that_there_is_now(rows):
    times, outcome = rows["disk full, in each phase"].split(" | ")
    assert int(times) == len(PHASES), RENEW
    assert f"; {', '.join(PHASES)}: each stopped, saying so; " in outcome, RENEW
