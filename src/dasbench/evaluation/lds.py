"""The linear datamodelling score (LDS): select parameters, judge a method, compare methods.

Letters: N training examples, Q queries, M subset models, R retraining seeds, B bootstrap draws, G
points of a grid of parameters, such as a damping. Scores enter as predictions
(``dasbench.evaluation.predictions``). ``select`` reads only tuning subsets and tuning queries;
``evaluate`` uses the selected parameters unchanged. An undefined correlation enters every mean as 0
and is counted, so no query drops out of a mean.
``dasbench.evaluation.beyond`` computes the partial LDS: what a score knows beyond a floor.

Source: Park et al. (2023), TRAK, arXiv 2303.14186. Held-out parameters and two-way intervals are
additions of this benchmark.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dasbench.attribution.parameters import Point
from dasbench.attribution.transforms import TRANSFORMS
from dasbench.core import artifacts, tables
from dasbench.core.query_kinds import KINDS
from dasbench.evaluation import beyond, statistics
from dasbench.evaluation.bootstrap import Bootstrap, Draws
from dasbench.evaluation.predictions import Predicted, sum_scores
from dasbench.evaluation.statistics import correlations

Side = tuple[pd.DataFrame, np.ndarray]  # a method's summary and its draws, from ``evaluate``

# Columns of the tables, in order; ``label`` adds those that only the caller knows.
SELECTION_COLUMNS = "experiment method transform queries damping parameters lds edge".split()
SUMMARY_COLUMNS = [
    *"experiment method transform queries target selection damping parameters lds lo hi".split(),
    *beyond.COLUMNS,
    *"ceiling undefined edge M R Q own".split(),
]
PER_QUERY_COLUMNS = "experiment method transform queries target selection query lds partial".split()
CEILING_COLUMNS = "experiment queries target reliability rho ceiling lo hi M R Q".split()
DRAWN = ("held_out", "oracle")  # selections with an interval, in the order of the rows of the draws


def lds_per_query(masks: np.ndarray, scores: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Linear datamodelling score of each query.

    It is the Spearman correlation over subsets of the predicted output and the true output, where
    the true output is averaged over seeds.

    Args:
        masks: [M, N] bool.
        scores: [N, Q], transformed.
        outputs: [R, M, Q], higher = better for the query.

    Returns:
        [Q] float64 in [-1, 1]; NaN where predictions or outputs are constant.
    """
    return statistics.spearman(sum_scores(masks, scores), outputs.mean(axis=0, dtype=np.float64))


class PathLDS:
    """LDS of predictions along a path of points.

    Args:
        sums: [G, M, Q] predictions.
        truth: [M, Q] outputs, averaged over seeds.

    Attributes:
        per_query: [G, Q], NaN where undefined.
        mean: [G], over queries; an undefined LDS enters as 0.
        best: Index of the point with the highest mean; of equal means, the last.
    """

    def __init__(self, sums: np.ndarray, truth: np.ndarray) -> None:
        """Correlate (see the class)."""
        self.per_query = np.stack([statistics.spearman(x, truth) for x in sums])
        self.mean = np.nan_to_num(self.per_query).mean(axis=1)
        self.best = int(np.flatnonzero(self.mean == self.mean.max())[-1])

    def undefined(self, index: int) -> int:
        """Number of queries without an LDS."""
        return int(np.isnan(self.per_query[index]).sum())


def select(predicted: Predicted, loss_outputs: np.ndarray) -> pd.DataFrame:
    """Select the parameters of each transform on tuning subsets and tuning queries.

    Args:
        predicted: For the tuning subsets and tuning queries.
        loss_outputs: [R, M_tune, Q_tune] for the target ``loss``; the choice serves every target.

    Returns:
        One row per transform: transform, damping (NaN if the method has none), parameters (all of
        them, as the JSON of the point), lds (mean on tuning, a fraction), edge.
    """
    truth = loss_outputs.mean(axis=0, dtype=np.float64)
    rows = []
    for name in TRANSFORMS:
        along = PathLDS(predicted.sums[name], truth)
        best = along.best
        rows.append({"transform": name} | _parameters(predicted.points[best]))
        rows[-1] |= {"lds": along.mean[best], "edge": predicted.edge(best)}
    return pd.DataFrame(rows)


def _parameters(point: Point) -> dict[str, Any]:
    """The columns ``damping`` and ``parameters`` of a point."""
    return {"damping": point.get("damping", np.nan), "parameters": str(point)}


def evaluate(
    predicted: Predicted,
    selection: pd.DataFrame,
    outputs: Mapping[str, np.ndarray],
    draws: Draws,
    given: Mapping[str, np.ndarray] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Judge a method on evaluation subsets and queries, once per transform and target.

    Rows ``held_out`` use the parameters of ``selection``. Rows ``oracle`` use the best point on the
    evaluation data, like published numbers; the resamples keep that point. Rows ``path`` list
    every point, without intervals. A method without parameters has only ``held_out`` rows.

    Args:
        predicted: For the evaluation subsets and queries.
        selection: From ``select``; only transform and parameters are used.
        outputs: target -> [R, M, Q].
        draws: The shared bootstrap draws.
        given: Name of ``beyond.GIVEN`` -> [M, Q] predictions, which the partial LDS holds fixed.

    Returns:
        summary: transform, target, selection, damping, parameters, lds, lo, hi, the columns of
            ``beyond`` (NaN without the predictions in ``given``), ceiling, undefined, edge, M, R,
            Q.
        per_query: transform, target, selection, query, lds and partial (NaN where undefined) of
            held_out and oracle.
        draws: float32 [rows, B] resampled means of the held_out and oracle rows, in the order of
            the summary.

    Raises:
        ValueError: If shapes disagree, values are not finite, or the selected point is not on the
            path.
    """
    selected = {
        row.transform: predicted.find(Point.read(row.parameters)) for row in selection.itertuples()
    }
    if missing := set(TRANSFORMS) - set(selected):
        raise ValueError(
            f"the selection has no parameters for {sorted(missing)}; select every transform first"
        )
    truths = {target: Truth(array, draws) for target, array in outputs.items()}
    fixed = beyond.given(given or {}, truths, draws)
    summary, per_query, resampled = [], [], []
    for name in TRANSFORMS:
        sums = predicted.sums[name]
        along = {target: PathLDS(sums, truth.mean) for target, truth in truths.items()}
        picks = {target: {"held_out": selected[name]} for target in truths}
        if predicted.tuned:
            picks = {t: {**chosen, "oracle": along[t].best} for t, chosen in picks.items()}
        drawn = _resample(sums, picks, truths, fixed)
        for target, truth in truths.items():
            key = {"transform": name, "target": target}
            chosen, means, partials = picks[target], {}, {}
            for g in set(chosen.values()):
                means[g] = draws.mean(drawn[g][target])
                outcome = along[target].per_query[g]
                partials[g] = beyond.judge(sums[g], outcome, drawn[g], target, fixed, draws)
            rows = _rows(predicted, along[target], means, chosen, draws)
            for row in rows:
                known = (
                    partials[chosen[row["selection"]]].columns if row["selection"] in chosen else {}
                )
                summary.append(key | row | known | truth.about)
            for pick, g in chosen.items():
                queries = {"query": range(sums.shape[2]), "lds": along[target].per_query[g]}
                queries["partial"] = partials[g].per_query
                per_query.append(pd.DataFrame(queries).assign(selection=pick, **key))
            resampled += [means[g] for g in chosen.values()]
    return (
        _ordered(pd.DataFrame(summary)),
        _ordered(pd.concat(per_query, ignore_index=True)),
        np.stack(resampled).astype(np.float32),
    )


def _resample(
    sums: np.ndarray,
    picks: Mapping[str, Mapping[str, int]],
    truths: Mapping[str, "Truth"],
    fixed: Mapping[str, beyond.Given],
) -> dict[int, dict[str, np.ndarray]]:
    """Index of every point in ``picks`` -> target or fixed predictions -> correlations [B, Q]."""
    others = {name: one.ranks for name, one in {**truths, **fixed}.items()}
    points = sorted({g for chosen in picks.values() for g in chosen.values()})
    ranked = list(others.values())
    return {g: dict(zip(others, correlations(sums[g], ranked), strict=True)) for g in points}


class Truth:
    """Outputs of one target, ready to be compared with predictions.

    Args:
        outputs: [R, M, Q].
        draws: For (M, Q).

    Attributes:
        mean: [M, Q], over seeds.
        ranks: Of the mean, in every resample.
        about: ceiling, R, M, Q.

    Raises:
        ValueError: If the outputs and the draws differ in M or Q.
    """

    def __init__(self, outputs: np.ndarray, draws: Draws) -> None:
        """Rank the outputs in every resample (see the class)."""
        drawn = (draws.subsets.shape[1], draws.queries.shape[1])
        if outputs.shape[1:] != drawn:
            raise ValueError(
                f"outputs have (M, Q) {outputs.shape[1:]}, the draws {drawn}; draw for that size"
            )
        self.mean = outputs.mean(axis=0, dtype=np.float64)
        self.ranks = statistics.ResampledRanks(self.mean, draws.subsets)
        self._draws = draws
        rho = statistics.spearman_brown(statistics.seed_agreement(outputs), len(outputs))
        self.about: dict[str, float] = {"ceiling": float(statistics.ceiling(rho))}
        self.about |= dict(zip("RMQ", outputs.shape, strict=True))

    def resample(self, sums: np.ndarray, picks: Mapping[str, int]) -> dict[int, np.ndarray]:
        """Mean LDS [B] in every resample, for each point in ``picks``.

        Args:
            sums: [G, M, Q] predictions.
            picks: Name -> index on the grid.
        """
        return {g: self._draws.mean(self.ranks.correlate(sums[g])) for g in set(picks.values())}


def _rows(
    predicted: Predicted,
    along: PathLDS,
    drawn: Mapping[int, np.ndarray],
    picks: Mapping[str, int],
    draws: Draws,
) -> list[dict[str, Any]]:
    """Rows of the summary: the points of ``picks`` with intervals, the grid without."""
    grid = range(len(along.mean)) if predicted.tuned else ()
    rows = []
    for pick, g in [*picks.items(), *(("path", g) for g in grid)]:
        lds, ends = along.mean[g], (np.nan, np.nan)
        if pick in DRAWN:
            ends = draws.bootstrap.interval(lds, drawn[g])
        row = {"selection": pick, **_parameters(predicted.points[g]), "edge": predicted.edge(g)}
        row |= {"lds": lds, "lo": ends[0], "hi": ends[1], "undefined": along.undefined(g)}
        rows.append(row)
    return rows


def ceilings(outputs: Mapping[str, np.ndarray], draws: Draws) -> pd.DataFrame:
    """Highest expected LDS of any predictor of the subset means, for each target.

    Args:
        outputs: target -> [R, M, Q]; with R = 1 the numbers are NaN.
        draws: The shared bootstrap draws.

    Returns:
        target, reliability, rho, ceiling, lo, hi (of the ceiling), M, R, Q. ``lo`` is 0 exactly
        where the lower bound of rho is not positive. Do not report a fraction of the ceiling there.
    """
    rows = []
    for target, array in outputs.items():
        agreement = statistics.reliability(array, draws)
        values = {"reliability": agreement.r, "rho": agreement.rho, "ceiling": agreement.ceiling}
        values |= {"lo": agreement.lo, "hi": agreement.hi}
        rows.append({"target": target} | values | dict(zip("RMQ", array.shape, strict=True)))
    return _ordered(pd.DataFrame(rows))


def read(folder: Path) -> dict[str, Side]:
    """Read the results of one method from ``scripts/evaluate_lds.py``.

    Args:
        folder: Folder with ``summary.csv`` and ``draws.npy``.

    Returns:
        Kind of query -> summary and draws, for ``compare``.
    """
    summary = tables.load_table(folder / "summary.csv")
    draws = artifacts.load_array(folder / "draws.npy", (None, None))
    kinds = summary["queries"][summary["selection"].isin(DRAWN)].to_numpy()
    return {kind: (summary[summary["queries"] == kind], draws[kinds == kind]) for kind in KINDS}


def compare(
    a: Side,
    b: Side,
    transforms: tuple[str, str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Paired differences of two methods judged on the same draws.

    Args:
        a: (summary, draws) of ``evaluate``, for one method and one kind of queries.
        b: (summary, draws) of the other method.
        transforms: Transform of a and of b; None: the transform that the column ``own`` of each
            summary marks (see ``label``).
        level: Coverage of the intervals, such as 0.95.

    Returns:
        One row per target and selection that both have: transform_a, transform_b, target,
        selection, difference, lo, hi, detectable (see ``Bootstrap.difference``).

    Raises:
        ValueError: If draws and summary disagree, or a transform is absent.
    """
    names = transforms or (_own(a[0]), _own(b[0]))
    left, right = _drawn(*a, names[0]), _drawn(*b, names[1])
    rows = []
    for key in [key for key in left if key in right]:
        (x, x_draws), (y, y_draws) = left[key], right[key]
        difference = Bootstrap(len(x_draws), level).difference((x, y), x_draws, y_draws)
        head = {"transform_a": names[0], "transform_b": names[1]}
        rows.append(head | {"target": key[0], "selection": key[1]} | difference._asdict())
    return pd.DataFrame(rows)


def _own(summary: pd.DataFrame) -> str:
    """The transform that the column ``own`` of the summary marks."""
    marked = summary["own"].astype(bool) if "own" in summary else np.zeros(len(summary), dtype=bool)
    names = summary.loc[marked, "transform"].unique()
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
    estimates = {
        (row.target, row.selection): (row.lds, resampled)
        for row, resampled in zip(rows.itertuples(), draws, strict=True)
        if row.transform == transform
    }
    if not estimates:
        raise ValueError(
            f"the summary has no rows with transform {transform!r}; use one of {TRANSFORMS}"
        )
    return estimates


def label(frame: pd.DataFrame, own: str | None = None, **columns: str) -> pd.DataFrame:
    """Add constant columns such as the experiment to a table, and put its columns in order.

    Args:
        frame: From ``select``, ``evaluate`` or ``ceilings``.
        own: The transform of the method as published; the bool column ``own`` marks its rows.
        **columns: Constant columns, such as experiment="digits", method="das", queries="val".

    Returns:
        A new table.
    """
    named = frame.assign(**columns)
    if own is not None:
        named["own"] = named["transform"] == own
    return _ordered(named)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns in the order of the first list that has them all; other tables unchanged."""
    for contract in (SELECTION_COLUMNS, PER_QUERY_COLUMNS, SUMMARY_COLUMNS, CEILING_COLUMNS):
        if set(frame) <= set(contract):
            return frame[[name for name in contract if name in frame]]
    return frame
