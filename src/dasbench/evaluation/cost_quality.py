"""Cheaper attribution: seconds against held-out LDS, and speed-ups without loss of LDS.

Vocabulary: a *configuration* is a method of the experiment. The *reference* is the configuration
that all costs and LDS are compared with, such as the released form. A *point* is the seconds and
the LDS of a configuration on one kind of query. A point is on the *front* if no other point is both
cheaper and at least as good. A *speed-up* is the seconds of the reference divided by those of a
configuration. Differences are paired: all methods share the draws of ``dasbench.evaluation.lds``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dasbench.attribution.method_times import PARTS
from dasbench.core import tables
from dasbench.core.query_kinds import KINDS
from dasbench.evaluation import lds

TARGET = "loss"
MARGIN = 0.01  # a "not worse" interval may reach this far below zero: one point of LDS x 100


def points(methods: Path, times: pd.DataFrame, reference: str, level: float) -> pd.DataFrame:
    """One row per configuration and kind of query.

    Args:
        methods: Folder ``lds/methods``, with one folder for each method.
        times: From ``scripts/time_methods.py``: method, P, PARTS (seconds of each).
        reference: Name of the reference.
        level: Coverage of the intervals.

    Returns:
        method, queries, tuning (LDS on tuning subsets and queries), lds, lo, hi, difference (LDS
        minus LDS of the reference), difference_lo, difference_hi, seconds, speedup, front, and the
        columns of ``times``.
    """
    times = times.assign(seconds=times[list(PARTS)].sum(axis=1)).set_index("method")
    sides = {name: lds.read(methods / name) for name in times.index}
    tuned = {name: tables.load_table(methods / name / "selection.csv") for name in times.index}
    rows = []
    for kind in KINDS:
        for name, side in sides.items():
            both = lds.compare(side[kind], sides[reference][kind], level=level)
            row = both[(both.target == TARGET) & (both.selection == "held_out")].iloc[0]
            summary = side[kind][0]
            held = summary[
                summary.own.astype(bool)
                & (summary.target == TARGET)
                & (summary.selection == "held_out")
            ].iloc[0]
            rows.append(
                {"method": name, "queries": kind}
                | {"tuning": _tuning(tuned[name], kind, held["transform"])}
                | {"lds": held.lds, "lo": held.lo, "hi": held.hi}
                | {"difference": row.difference, "difference_lo": row.lo, "difference_hi": row.hi}
                | {"speedup": times.seconds[reference] / times.seconds[name]}
                | times.loc[name].to_dict()
            )
    table = pd.DataFrame(rows)
    table["front"] = np.concatenate(
        [
            front(part.seconds.to_numpy(), part.lds.to_numpy())
            for _, part in table.groupby("queries", sort=False)
        ]
    )
    return table


def _tuning(selection: pd.DataFrame, kind: str, transform: str) -> float:
    """LDS on tuning data at the damping that was selected on them."""
    rows = selection[(selection.queries == kind) & (selection["transform"] == transform)]
    return float(rows.lds.iloc[0])


def front(seconds: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Mask of the points on the front: bool, of the shape of both.

    Of two points with equal seconds, only the better can be on the front; of equal points, one.
    """
    order = np.lexsort((-quality, seconds))
    best, kept = -np.inf, np.zeros(len(seconds), bool)
    for index in order:
        if quality[index] > best:
            best, kept[index] = quality[index], True
    return kept


def speedups(table: pd.DataFrame, reference: str) -> dict[str, dict[str, Any]]:
    """The cheapest configuration that is as good as the reference, in three senses.

    Returns:
        kind of query, or "both" for one configuration that is as good on both kinds -> sense ->
        {method, speedup, difference: kind -> [difference, lo, hi] on evaluation data}; None if no
        configuration is as good. The senses:
        ``chosen_on_tuning``: LDS on tuning data is at least that of the reference. Evaluation data
        play no part in this choice.
        ``at_equal_lds``: the difference on evaluation data is not below zero. Choice and estimate
        use the same data, so the speed-up is optimistic.
        ``not_worse``: as ``at_equal_lds``, and the lower end of the paired interval is above
        -MARGIN. It is optimistic for the same reason.
    """
    base = table[table.method == reference].set_index("queries").tuning
    others = table[table.method != reference]
    senses = {
        "chosen_on_tuning": others.tuning >= others.queries.map(base),
        "at_equal_lds": others.difference >= 0,
        "not_worse": (others.difference >= 0) & (others.difference_lo > -MARGIN),
    }
    return {
        name: {
            sense: _cheapest(others, _everywhere(others, kinds, good))
            for sense, good in senses.items()
        }
        for name, kinds in {**{kind: [kind] for kind in KINDS}, "both": list(KINDS)}.items()
    }


def _everywhere(table: pd.DataFrame, kinds: Sequence[str], good: pd.Series) -> set[str]:
    """Methods that are good on all of these kinds of query."""
    counts = table[good & table.queries.isin(kinds)].groupby("method").size()
    return set(counts[counts == len(kinds)].index)


def _cheapest(table: pd.DataFrame, names: set[str]) -> Mapping[str, Any] | None:
    if not names:
        return None
    best = table[table.method.isin(names)].sort_values("seconds").iloc[0]
    judged = table[table.method == best.method].set_index("queries")
    columns = ["difference", "difference_lo", "difference_hi"]
    return {
        "method": str(best.method),
        "speedup": float(best.speedup),
        "difference": {kind: list(map(float, row)) for kind, row in judged[columns].T.items()},
    }
