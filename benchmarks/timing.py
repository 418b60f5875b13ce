"""Time things against each other: interleaved repetitions in one process, medians, ratios.

Two things that are compared take turns (A B A B ...), so that whatever else the machine does falls
on both; a ratio is taken within each turn, and its median is the result. The first turn warms up
caches and allocators and does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Turns = dict[str, list[float]]


def interleaved(
    things: Mapping[str, Callable[[], object]], repeats: int, warm: bool = True
) -> Turns:
    """Seconds of every thing in every turn.

    Args:
        things: name -> what is timed; called in this order in each turn.
        repeats: Turns that count.
        warm: Whether one more comes before; processes of their own need none.

    Returns:
        name -> [repeats] seconds.
    """
    seconds: Turns = {name: [] for name in things}
    for turn in range(-int(warm), repeats):
        for name, run in things.items():
            taken = once(run)
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def once(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Summary of the ratios within each turn."""
    return summary([a / b for a, b in zip(above, below, strict=True)])


def summaries(turns: Turns) -> dict[str, dict[str, float]]:
    """Summary of every thing's seconds."""
    return {name: summary(values) for name, values in turns.items()}
