"""The linear datamodelling score: choose a damping, judge it, compare methods.

Letters: N training examples, Q queries, M subset models, R retraining seeds, B bootstrap draws, G
dampings of a grid. Scores enter as predictions (``dasbench.evaluation.predictions``). The choice of
a damping (``select``) is given tuning subsets and tuning queries; the judgement (``evaluate``)
takes the choice as it is. Undefined correlations enter every mean as 0 and are counted, so a method
cannot gain by being undefined where it is bad.

Source: Park et al. (2023), TRAK, arXiv 2303.14186; held-out damping and two-way intervals are this
benchmark's.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from dasbench.attribution.transforms import TRANSFORMS
from dasbench.evaluation import statistics
from dasbench.evaluation.predictions import Predicted, sum_scores
from dasbench.evaluation.statistics import Draws

# The contract of the tables, in order; callers add what they know (``label``).
SELECTION_COLUMNS = "experiment method transform queries damping lds edge".split()
SUMMARY_COLUMNS = (
    "experiment method transform queries target selection damping lds lo hi "
    "ceiling undefined edge M R Q own"
).split()
PER_QUERY_COLUMNS = "experiment method transform queries target selection query lds".split()
CEILING_COLUMNS = "experiment queries target reliability rho ceiling lo hi M R Q".split()
DRAWN = ("held_out", "oracle")  # selections with an interval, in the order of the rows of the draws


def lds_per_query(masks: np.ndarray, scores: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Linear datamodelling score of each query.

    Spearman over subsets of the predicted output and the true one, averaged over seeds.

    Args:
        masks: [M, N] bool.
        scores: [N, Q], transformed.
        outputs: [R, M, Q], higher = better for the query.

    Returns:
        [Q] float64 in [-1, 1]; NaN where predictions or outputs are constant.
    """
    return statistics.spearman(sum_scores(masks, scores), outputs.mean(axis=0, dtype=np.float64))


def _along(sums: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """LDS of every damping and query [G, Q]; NaN where undefined."""
    return np.stack([statistics.spearman(x, truth) for x in sums])


def _best(mean_lds: np.ndarray) -> int:
    """Index of the best damping of an ascending grid, ties to the larger damping."""
    return int(np.flatnonzero(mean_lds == mean_lds.max())[-1])


def select(predicted: Predicted, loss_outputs: np.ndarray) -> pd.DataFrame:
    """Choose the damping of each transform on tuning subsets and tuning queries, all it is given.

    Args:
        predicted: For the tuning subsets and tuning queries.
        loss_outputs: [R, M_tune, Q_tune] for the target ``loss``; the choice serves every target.

    Returns:
        One row per transform: transform, damping (NaN if the method has none), lds (mean on tuning,
        a fraction), edge.
    """
    truth = loss_outputs.mean(axis=0, dtype=np.float64)
    rows = []
    for name in TRANSFORMS:
        mean_lds = np.nan_to_num(_along(predicted.sums[name], truth)).mean(axis=1)
        best = _best(mean_lds)
        rows.append([name, predicted.dampings[best], mean_lds[best], predicted.edge(best)])
    return pd.DataFrame(rows, columns=["transform", "damping", "lds", "edge"])


def evaluate(
    predicted: Predicted,
    selection: pd.DataFrame,
    outputs: Mapping[str, np.ndarray],
    draws: Draws,
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Judge a method on evaluation subsets and queries, once per transform and target.

    Rows ``held_out`` use the damping of ``selection``, ``oracle`` the best one on these very data
    (as published numbers do; its interval does not repeat that choice), ``path`` every damping,
    without intervals. A method without damping has ``held_out`` rows only.

    Args:
        predicted: For the evaluation subsets and queries.
        selection: From ``select``; transform and damping are read.
        outputs: target -> [R, M, Q].
        draws: The shared bootstrap draws.

    Returns:
        summary: transform, target, selection, damping, lds, lo, hi, ceiling, undefined, edge, M, R,
            Q.
        per_query: transform, target, selection, query, lds (NaN where undefined) of held_out and
            oracle.
        draws: float32 [rows, B] resampled means of the held_out and oracle rows, in the order of
            the summary.

    Raises:
        ValueError: If shapes disagree, values are not finite, or the chosen damping is not on the
            path.
    """
    chosen = {row.transform: predicted.find(row.damping) for row in selection.itertuples()}
    if missing := set(TRANSFORMS) - set(chosen):
        raise ValueError(
            f"the selection has no damping for {sorted(missing)}; select every transform first"
        )
    truths = {target: _Truth(array, draws) for target, array in outputs.items()}
    summary, per_query, resampled = [], [], []
    for name in TRANSFORMS:
        for target, truth in truths.items():
            judged = _judge(predicted, name, chosen[name], truth, draws)
            key = {"transform": name, "target": target}
            for row in judged.rows:
                g = row.pop("index")
                summary.append(
                    key | row | {"damping": predicted.dampings[g], "edge": predicted.edge(g)}
                )
            per_query.append(judged.per_query.assign(**key))
            resampled.extend(judged.draws)
    return (
        _ordered(pd.DataFrame(summary)),
        _ordered(pd.concat(per_query, ignore_index=True)),
        np.stack(resampled).astype(np.float32),
    )


class _Truth:
    """Outputs of one target: their mean over seeds, its ranks in every resample, the ceiling."""

    def __init__(self, outputs: np.ndarray, draws: Draws) -> None:
        drawn = (draws.subsets.shape[1], draws.queries.shape[1])
        if outputs.shape[1:] != drawn:
            raise ValueError(
                f"outputs have (M, Q) {outputs.shape[1:]}, the draws {drawn}; draw for that size"
            )
        self.mean = outputs.mean(axis=0, dtype=np.float64)  # [M, Q]
        self.ranks = statistics.ResampledRanks(self.mean, draws.subsets)
        rho = statistics.spearman_brown(statistics.seed_agreement(outputs), len(outputs))
        self.ceiling = float(statistics.ceiling(rho))
        self.sizes = dict(zip("RMQ", outputs.shape, strict=True))


class _Judged(NamedTuple):
    """One transform and target: rows of the summary with their index on the grid, and the rest."""

    rows: list[dict]
    per_query: pd.DataFrame
    draws: list[np.ndarray]


def _judge(
    predicted: Predicted, transform: str, held_out: int, truth: _Truth, draws: Draws
) -> _Judged:
    """Judge the chosen damping, and where there is a grid its best one and all of it."""
    sums = predicted.sums[transform]
    lds = _along(sums, truth.mean)  # [G, Q]
    mean_lds = np.nan_to_num(lds).mean(axis=1)
    picks = {"held_out": held_out}
    if predicted.damped:
        picks["oracle"] = _best(mean_lds)
    drawn = {g: draws.mean(truth.ranks.correlate(sums[g])) for g in set(picks.values())}
    rows = []
    for kind, g in [*picks.items(), *(("path", g) for g in range(len(lds)) if predicted.damped)]:
        lo, hi = statistics.interval(drawn[g], draws.level) if kind in DRAWN else (np.nan, np.nan)
        value = {"lds": mean_lds[g], "lo": lo, "hi": hi, "undefined": int(np.isnan(lds[g]).sum())}
        rows.append(
            {"selection": kind, "index": g} | value | {"ceiling": truth.ceiling} | truth.sizes
        )
    queries = [
        pd.DataFrame({"selection": kind, "query": range(lds.shape[1]), "lds": lds[g]})
        for kind, g in picks.items()
    ]
    return _Judged(rows, pd.concat(queries, ignore_index=True), [drawn[g] for g in picks.values()])


def ceilings(outputs: Mapping[str, np.ndarray], draws: Draws) -> pd.DataFrame:
    """Best LDS that any predictor of the subset means could expect, for each target.

    Args:
        outputs: target -> [R, M, Q]; with R = 1 the numbers are NaN.
        draws: The shared bootstrap draws.

    Returns:
        target, reliability, rho, ceiling, lo, hi (of the ceiling), M, R, Q. ``lo`` is 0 exactly
        where the lower bound of rho is not positive: there no fraction of the ceiling may be
        stated.
    """
    rows = []
    for target, array in outputs.items():
        got = statistics.reliability(array, draws)
        values = {"reliability": got.r, "rho": got.rho, "ceiling": got.ceiling}
        values |= {"lo": got.lo, "hi": got.hi}
        rows.append({"target": target} | values | dict(zip("RMQ", array.shape, strict=True)))
    return _ordered(pd.DataFrame(rows))


def compare(
    a: tuple[pd.DataFrame, np.ndarray],
    b: tuple[pd.DataFrame, np.ndarray],
    transforms: tuple[str, str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Paired differences of two methods judged on the same draws.

    Args:
        a: (summary, draws) of ``evaluate``, of one method and one kind of queries.
        b: The same of the other method.
        transforms: Of a and of b; None takes each method's own (column ``own`` of the summary, see
            ``label``).
        level: Such as 0.95.

    Returns:
        One row per target and selection that both have: transform_a, transform_b, target,
        selection, difference, lo, hi, detectable (smallest true difference found with 80 % power).

    Raises:
        ValueError: If draws and summary disagree, or a transform is absent.
    """
    names = transforms or (_own(a[0]), _own(b[0]))
    left, right = _drawn(*a, names[0]), _drawn(*b, names[1])
    rows = []
    for key in [key for key in left if key in right]:
        (x, x_draws), (y, y_draws) = left[key], right[key]
        got = statistics.paired_difference((x, y), x_draws, y_draws, level)
        head = {"transform_a": names[0], "transform_b": names[1]}
        rows.append(head | {"target": key[0], "selection": key[1]} | got._asdict())
    return pd.DataFrame(rows)


def _own(summary: pd.DataFrame) -> str:
    """The transform that the summary marks as the method's own."""
    own = summary["own"].astype(bool) if "own" in summary else np.zeros(len(summary), dtype=bool)
    names = summary.loc[own, "transform"].unique()
    if len(names) != 1:
        raise ValueError(
            f"own transforms are {list(names)}, expected one; label the summary or pass transforms"
        )
    return names[0]


def _drawn(
    summary: pd.DataFrame, draws: np.ndarray, transform: str
) -> dict[tuple[str, str], tuple[float, np.ndarray]]:
    """(target, selection) -> (estimate, draws [B]) of one transform."""
    rows = summary[summary["selection"].isin(DRAWN)]
    if len(rows) != len(draws):
        raise ValueError(
            f"got {len(draws)} rows of draws for {len(rows)} held_out and oracle rows; load those "
            "written with this summary"
        )
    wanted = {
        (row.target, row.selection): (row.lds, resampled)
        for row, resampled in zip(rows.itertuples(), draws, strict=True)
        if row.transform == transform
    }
    if not wanted:
        raise ValueError(
            f"the summary has no rows with transform {transform!r}; use one of {TRANSFORMS}"
        )
    return wanted


def label(frame: pd.DataFrame, own: str | None = None, **columns: str) -> pd.DataFrame:
    """Name a table's experiment, method and queries; order its columns by the contract.

    Args:
        frame: From ``select``, ``evaluate`` or ``ceilings``.
        own: The method's own transform; adds the bool column ``own``.
        **columns: Such as experiment="digits", method="das", queries="val"; the same value in every
            row.

    Returns:
        A new table.
    """
    named = frame.assign(**columns)
    if own is not None:
        named["own"] = named["transform"] == own
    return _ordered(named)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns in the order of the contract that holds them all; any other table as it is."""
    for contract in (SELECTION_COLUMNS, PER_QUERY_COLUMNS, SUMMARY_COLUMNS, CEILING_COLUMNS):
        if set(frame) <= set(contract):
            return frame[[name for name in contract if name in frame]]
    return frame
