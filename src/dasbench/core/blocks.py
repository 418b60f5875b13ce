"""Divide many rows into blocks that fit in memory; standard library only."""

from __future__ import annotations

BLOCK = 2**26  # bytes: large enough for full speed of matrix products, small beside any memory


def blocks(count: int, size: int) -> list[slice]:
    """Consecutive slices of ``size`` rows that cover 0 … count - 1; the last may be shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def rows_in(memory: int, row_bytes: int) -> int:
    """Number of rows that fit into ``memory`` bytes, at least one.

    Args:
        memory: Bytes of one block.
        row_bytes: Bytes of a row in the caller's memory, such as 8 P for float64.
    """
    return max(1, memory // max(1, row_bytes))


def memory_blocks(count: int, row_bytes: int, memory: int = BLOCK) -> list[slice]:
    """``blocks`` of at most ``memory`` bytes; see ``rows_in``."""
    return blocks(count, rows_in(memory, row_bytes))
