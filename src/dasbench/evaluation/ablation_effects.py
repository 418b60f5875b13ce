"""The contribution of each choice: main effects of the factorial, and shares of a method's gain.

All cells are judged on the same bootstrap draws, so all differences here are paired. An estimate is
a linear combination of the LDS of cells; its draws are the same combination of their draws.

Vocabulary: the *difference* of a level is the LDS of a cell with this level minus the LDS of the
cell with the reference level of the factor. A *main effect* is the mean difference over all
combinations of the other factors. A *neighbour* effect is the difference at one method, with the
other factors as in the method. A *path* leads from one method to another by *switches* of a factor.
The share of a switch depends on the switches before it: ``first`` is its effect before all others,
``last`` its effect after all others, ``shapley`` the mean over all orders. Only the ``shapley``
shares always add up to the whole gain.

Source: Shapley (1953), A value for n-person games.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pandas as pd

from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.experiments.ablation_design import FACTORS

OUTCOME = ["queries", "target"]
_PLAIN = {"residual": "none", "leverage": False, "kernel": "averaged", "damping_rule": "held_out"}
_DTRAK = {"readout": "square", "normalise": False, "noise": "keyed", "transform": "identity"}
METHODS: dict[str, dict[str, Any]] = {
    "trak": {**_PLAIN, **_DTRAK, "readout": "loss"},
    "dtrak": {**_PLAIN, **_DTRAK},
    "das": {
        **_PLAIN,
        "readout": "mean",
        "normalise": True,
        "noise": "keyed",
        "residual": "scalar",
        "leverage": True,
        "transform": "square",
    },
}
METHODS["das_common"] = {**METHODS["das"], "noise": "common"}
PATHS = (("trak", "das"), ("dtrak", "das"), ("dtrak", "das_common"))


class Cells:
    """All cells of a full factorial.

    Args:
        table: FACTORS, OUTCOME, lds; one row for each cell and outcome.
        draws: [rows, B] resampled LDS in the order of the table.
        level: Coverage of the intervals.
    """

    def __init__(self, table: pd.DataFrame, draws: np.ndarray, level: float):
        """Order the levels as in the table: the first level of each factor is its reference."""
        self.table, self.draws = table.reset_index(drop=True), draws
        self.bootstrap = Bootstrap(draws.shape[1], level)
        self.levels = {f: list(dict.fromkeys(table[f].tolist())) for f in FACTORS}
        columns = [table[name].tolist() for name in (*FACTORS, *OUTCOME)]
        self._place = {key: i for i, key in enumerate(zip(*columns, strict=True))}

    def outcomes(self) -> list[tuple[str, str]]:
        """Every (queries, target)."""
        return list(self.table[OUTCOME].drop_duplicates().itertuples(index=False, name=None))

    def find(self, options: Mapping[str, Any], outcome: Sequence[str]) -> int | None:
        """Row of one cell; None if the design lacks it."""
        return self._place.get((*(options[f] for f in FACTORS), *outcome))

    def where(self, outcome: Sequence[str], **levels: Any) -> np.ndarray:
        """Rows of one outcome with these levels."""
        table = self.table
        keep = (table["queries"] == outcome[0]) & (table["target"] == outcome[1])
        for factor, value in levels.items():
            keep &= table[factor] == value
        return np.flatnonzero(keep)

    def combine(self, weights: Mapping[int, float]) -> dict[str, float]:
        """Estimate and interval of a weighted sum of cells."""
        rows, values = list(weights), np.array(list(weights.values()))
        difference = float(values @ self.table["lds"].to_numpy()[rows])
        drawn = values @ self.draws[rows].astype(np.float64)
        lo, hi = self.bootstrap.interval(difference, drawn)
        return {"difference": difference, "lo": float(lo), "hi": float(hi)}

    def contrast(self, plus: Sequence[int], minus: Sequence[int]) -> dict[str, float]:
        """Mean of the cells ``plus`` minus the mean of the cells ``minus``, with its interval."""
        weights = {int(row): 1 / len(plus) for row in plus}
        weights |= {int(row): -1 / len(minus) for row in minus}
        return self.combine(weights)


def main_effects(cells: Cells) -> pd.DataFrame:
    """Main effects and neighbour effects of every level.

    Every factor except the damping rule is compared at the held-out damping.

    Returns:
        scope ("all", or the method of a neighbour effect), factor, level, reference, queries,
        target, difference, lo, hi, pairs.
    """
    rows = []
    for outcome in cells.outcomes():
        for factor, (reference, *levels) in cells.levels.items():
            fixed = {} if factor == "damping_rule" else {"damping_rule": "held_out"}
            for level in levels:
                sides = [
                    cells.where(outcome, **{factor: value}, **fixed) for value in (level, reference)
                ]
                head = {"factor": factor, "level": level, "reference": reference}
                head |= dict(zip(OUTCOME, outcome, strict=True))
                rows.append(
                    {"scope": "all"} | head | cells.contrast(*sides) | {"pairs": len(sides[0])}
                )
        rows += _neighbours(cells, outcome)
    return pd.DataFrame(rows)


def _neighbours(cells: Cells, outcome: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Neighbour effects at every method of the design."""
    for method, options in METHODS.items():
        if cells.find(options, outcome) is None:
            continue
        for factor, (reference, *levels) in cells.levels.items():
            for level in levels:
                pair = [
                    [cells.find({**options, factor: value}, outcome)]
                    for value in (level, reference)
                ]
                head = {"scope": method, "factor": factor, "level": level, "reference": reference}
                head |= dict(zip(OUTCOME, outcome, strict=True))
                yield head | cells.contrast(*pair) | {"pairs": 1}


def gains(cells: Cells, paths: Sequence[tuple[str, str]] = PATHS) -> pd.DataFrame:
    """Shares of every switch in the gain of one method over another.

    Returns:
        before, after, switch ("all" for the whole gain), order (first, last, shapley; all), from
        and to (level before and after the switch), queries, target, difference, lo, hi. Paths with
        a cell that the design lacks are left out.
    """
    rows: list[dict[str, Any]] = []
    for start, end in paths:
        a, b = METHODS[start], METHODS[end]
        switches = [f for f in FACTORS if a[f] != b[f]]
        for outcome in cells.outcomes():
            place = {
                subset: cells.find({**a, **{f: b[f] for f in subset}}, outcome)
                for size in range(len(switches) + 1)
                for subset in combinations(switches, size)
            }
            if None in place.values():
                continue
            head = {"before": start, "after": end} | dict(zip(OUTCOME, outcome, strict=True))
            whole = {place[tuple(switches)]: 1.0, place[()]: -1.0}
            names = {"switch": "all", "order": "all", "from": start, "to": end}
            rows.append(head | names | cells.combine(whole))
            for switch in switches:
                names = {"switch": switch, "from": a[switch], "to": b[switch]}
                for order, weights in _shares(switch, switches, place).items():
                    rows.append(head | names | {"order": order} | cells.combine(weights))
    columns = ["before", "after", "switch", "order", "from", "to", *OUTCOME, "difference"]
    return pd.DataFrame(rows, columns=[*columns, "lo", "hi"])


def _shares(
    switch: str, switches: Sequence[str], place: Mapping[tuple[str, ...], int]
) -> dict[str, dict[int, float]]:
    """Weights of the cells in the three forms of a switch's share."""
    others = [f for f in switches if f != switch]
    n = len(switches)
    weights: dict[str, dict[int, float]] = {"shapley": {}}
    for size in range(n):
        weight = factorial(size) * factorial(n - size - 1) / factorial(n)
        for subset in combinations(others, size):
            after = tuple(f for f in switches if f in subset or f == switch)
            pair = {place[after]: 1.0, place[subset]: -1.0}
            for row, sign in pair.items():
                weights["shapley"][row] = weights["shapley"].get(row, 0.0) + sign * weight
            if size == 0:
                weights["first"] = pair
            if size == n - 1:
                weights["last"] = pair
    return {order: weights[order] for order in ("first", "last", "shapley")}
