"""docs/reliability.md has a row for all that the campaign of faults tries; none has failed."""

from campaign import END, FAULTS, PAGE, START, rows_of


def test_every_fault_has_a_row_and_none_has_failed():
    table = PAGE.read_text().split(START)[1].split(END)[0]
    rows = rows_of(table)
    assert set(rows) == FAULTS, "./run test --faults tests/faults/test_X.py renews the page"
    assert [fault for fault, row in rows.items() if "not passed" in row] == []
