"""Blocks of rows: every row once, in order, no block larger than it may be."""

from hypothesis import given
from hypothesis import strategies as st

from dasbench.core.blocks import blocks, memory_blocks


def rows_of(slices):
    return [row for block in slices for row in range(block.start, block.stop)]


@given(st.integers(0, 50), st.integers(1, 60))
def test_blocks_cover_every_row_once(count, size):
    made = blocks(count, size)
    assert rows_of(made) == list(range(count))
    assert all(block.stop - block.start == size for block in made[:-1])
    assert len(made) == -(-count // size)


@given(st.integers(0, 50), st.integers(0, 9), st.integers(1, 40))
def test_blocks_keep_to_the_memory_but_have_a_row(count, row_bytes, memory):
    made = memory_blocks(count, row_bytes, memory)
    assert rows_of(made) == list(range(count))
    for block in made:
        assert block.stop - block.start == 1 or (block.stop - block.start) * row_bytes <= memory
