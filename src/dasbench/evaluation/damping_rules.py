"""Rules that choose a damping, and the points of LDS that each loses to the oracle.

A *curve* (``dasbench.evaluation.damping_curves``) has a row for each damping and a column for
each *criterion*. A *rule* chooses the damping with the largest or the smallest value of its
criterion; of equal values the largest damping. No criterion reads outputs of evaluation subsets,
and the *oracle*, the best damping on evaluation data, reads nothing else.

=================  ============================================================  =================
rule               criterion                                                     needs
=================  ============================================================  =================
each_kind          LDS on tuning subsets and tuning queries of the kind          retrained models
together           its mean over the kinds of query                              retrained models
finetuned          LDS on fine-tuned models and tuning queries                   fine-tuned models
finetuned_asked    LDS on fine-tuned models and the evaluation queries           fine-tuned models
agreement          rank correlation of two draws of noise (evaluation queries)   features twice
cross_draw         error of the scores of one draw on the features of another    features twice
gcv_query          cross-validation of the queries' features                     nothing
gcv_residual       cross-validation of the training residuals                    residuals
fixed_<value>      the nearest damping of the grid                               nothing
other_sets         mean of ``each_kind`` over other data sets                    nothing
other_together     mean of ``together`` over other data sets                     nothing
other_median       median of the choices of ``each_kind`` on other data sets     nothing
oracle             LDS on evaluation data                                        (a bound)
=================  ============================================================  =================

A user without retrained models can follow every rule but the first two and the last. The tool's
defaults (``dasbench.commands.index_settings.DAMPINGS``) are medians as of ``other_median``, which
says what such a default loses on a data set that had no part in it. If another rule without
retrained models loses less in the table ``overall`` on all sets, by more than its interval, the
tool will follow that rule.

Letters: B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.damping_curves import JUDGED

# rule -> whether a larger value of its criterion, the column of this name, is better
CRITERIA = {
    "each_kind": True,
    "together": True,
    "finetuned": True,
    "finetuned_asked": True,
    "agreement": True,
    "cross_draw": False,
    "gcv_query": False,
    "gcv_residual": False,
}
OTHERS = {"other_sets": "each_kind", "other_together": "together"}  # rule -> column of other sets
ORACLE, USUAL, MEDIAN = "oracle", "each_kind", "other_median"
SET = ["experiment", "set"]  # the set is the root experiment, whose models are attributed
POINT = ["method", "transform", "queries", "target"]
CURVE = [*SET, *POINT, *JUDGED, *CRITERIA]
RULES = [*SET, *POINT, "rule", *JUDGED, "own"]
OVERALL = [*SET, "queries", "target", "rule", "lost", "lost_lo", "lost_hi", "worst"]
OVERALL += ["gain", "gain_lo", "gain_hi"]


def with_together(curve: pd.DataFrame) -> pd.DataFrame:
    """The curve of one method with the column ``together``, the mean over kinds of query."""
    keys = ["transform", "target", "damping"]
    return curve.assign(together=curve.groupby(keys)["each_kind"].transform("mean"))


def choose(curve: pd.DataFrame, fixed: Sequence[float] = ()) -> pd.DataFrame:
    """The row of the curve that each rule chooses, for each method, transform, kind and target.

    Args:
        curve: With the columns ``POINT``, ``JUDGED`` and those of ``CRITERIA``, dampings ascending.
        fixed: Dampings that are chosen whatever the data are, the nearest of the grid.

    Returns:
        Rows of the curve with the column rule; the index is that of the curve.
    """
    parts = []
    for _, path in curve.groupby(POINT, sort=False):
        picks = {rule: _best(path[rule], larger) for rule, larger in CRITERIA.items()}
        picks |= {f"fixed_{value:g}": _nearest(path["damping"], value) for value in fixed}
        picks[ORACLE] = _best(path["lds"], True)
        parts.append(path.loc[list(picks.values())].assign(rule=list(picks)))
    return pd.concat(parts)


def from_others(curve: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows that the rules ``OTHERS`` and ``MEDIAN`` choose, by tuning data of other sets.

    Args:
        curve: As for ``choose``, of one set.
        others: Curves of other sets. Only dampings of all grids count. A method that no other set
            has gets no row.
    """
    parts = []
    for key, path in curve.groupby(POINT, sort=False):
        same = others[(others[POINT] == list(key)).all(axis=1)]
        sets = same["experiment"].nunique()
        for rule, column in OTHERS.items():
            # every set counts alike; a damping that some set lacks is no choice
            means = same.groupby("damping")[column].agg(["mean", "count"])
            means = path["damping"].map(means["mean"].where(means["count"] == sets))
            if means.notna().any():
                parts.append(path.loc[[_best(means, True)]].assign(rule=rule))
        if sets:
            value = _median_choice(others, dict(zip(POINT, key, strict=True)))
            parts.append(path.loc[[_nearest(path["damping"], value)]].assign(rule=MEDIAN))
    return pd.concat(parts) if parts else curve.iloc[:0].assign(rule="")


def _median_choice(others: pd.DataFrame, point: Mapping[str, str]) -> float:
    """Upper median of the dampings that ``USUAL`` chooses for a method in all sets and kinds."""
    same = others
    for name in ("method", "transform", "target"):
        same = same[same[name] == point[name]]
    same = same.reset_index(drop=True)
    paths = [path for _, path in same.groupby(["experiment", "queries"])]
    values = sorted(path["damping"][_best(path[USUAL], True)] for path in paths)
    return values[len(values) // 2]


def overall(rules: pd.DataFrame, losses: np.ndarray, bootstrap: Bootstrap) -> pd.DataFrame:
    """Mean loss over the methods of a set, each under its own transform.

    Args:
        rules: Of one experiment, with the column own; its index are the rows of ``losses``.
        losses: [rows, B] resampled losses, of all methods on the same draws.
        bootstrap: Makes the intervals.

    Returns:
        ``OVERALL``: worst is the largest loss of a method; gain is the mean loss of ``USUAL`` on
        the same methods minus that of the rule.
    """
    rows = []
    for key, group in rules[rules["own"]].groupby([*SET, "queries", "target"], sort=False):
        usual = group[group["rule"] == USUAL].reset_index().set_index("method")
        for rule, mine in group.groupby("rule", sort=False):
            drawn = losses[mine.index].mean(axis=0)
            lost, same = mine["lost"].mean(), usual.loc[mine["method"]]
            gain, gained = same["lost"].mean() - lost, losses[same["index"]].mean(axis=0) - drawn
            ends = (*bootstrap.interval(lost, drawn), mine["lost"].max())
            rows.append([*key, rule, lost, *ends, gain, *bootstrap.interval(gain, gained)])
    return pd.DataFrame(rows, columns=OVERALL)


def _best(values: pd.Series, larger: bool) -> int:
    """Label of the best value, of equal ones the last."""
    signed = values if larger else -values
    return values.index[np.flatnonzero(signed == signed.max())[-1]]


def _nearest(dampings: pd.Series, value: float) -> int:
    """Label of the damping that is nearest on the logarithmic scale."""
    return (np.log(dampings) - np.log(value)).abs().idxmin()
