"""The LDS of a method along the damping grid, and what each damping loses to the best one.

A *curve* is a table with one row for each transform, target and damping of a method: the LDS on
evaluation data, its loss to the *oracle* (the best damping of the grid on the same data), and a
column for each criterion by which ``dasbench.evaluation.damping_rules`` chooses a damping.

Letters: G dampings, M subset models, Q queries, R seeds, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dasbench.attribution.transforms import TRANSFORMS
from dasbench.core import artifacts
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import lds, statistics
from dasbench.evaluation.bootstrap import Draws
from dasbench.evaluation.predictions import Predicted

JUDGED = ["damping", "lds", "lo", "hi", "lost", "lost_lo", "lost_hi", "undefined", "edge"]
Criteria = Mapping[str, Mapping[str, np.ndarray] | np.ndarray]  # rule -> [G], or transform -> [G]


class Outputs(NamedTuple):
    """Outputs of the models, on the tuning queries of a kind and then on its evaluation queries.

    Attributes:
        tuned: [R, M, Q] losses of the tuning subsets.
        judged: Target -> [R, M, Q] of the evaluation subsets.
        finetuned: [R, M, Q] losses of the fine-tuned models.
    """

    tuned: np.ndarray
    judged: Mapping[str, np.ndarray]
    finetuned: np.ndarray


def read(subsets: Path, finetuned: Path, kind: str, queries: Sequence[int]) -> Outputs:
    """Read the outputs of all models.

    Args:
        subsets: Folder with ``tune/`` and ``eval/``, of [R, M, Q].
        finetuned: Folder with ``loss-<kind>.npy`` [M, Q].
        kind: Kind of query.
        queries: Positions of the tuning queries, then of the evaluation queries.
    """

    def load(folder: Path, target: str, axes: int = 3) -> np.ndarray:
        file = folder / f"{target}-{kind}.npy"
        return artifacts.load_array(file, (None,) * axes, np.float32)[..., queries]

    judged = {target: load(subsets / "eval", target) for target in TARGETS}
    return Outputs(load(subsets / "tune", "loss"), judged, load(finetuned, "loss", 2)[None])


def of_kind(
    predicted: Predicted, tuning: int, outputs: Outputs, draws: Draws, criteria: Criteria
) -> tuple[pd.DataFrame, np.ndarray]:
    """The curve of one method on one kind of query.

    Args:
        predicted: Of all models, those with the outputs ``tuned`` first, then ``judged``, then
            ``finetuned``; and of all queries, as in ``outputs``.
        tuning: Number of tuning queries.
        outputs: Of the models.
        draws: The shared bootstrap draws, of evaluation subsets and queries.
        criteria: Criteria that need no outputs.

    Returns:
        transform, target, ``JUDGED`` and the criteria; resampled losses [rows, B] float32.
    """
    judged, finetuned = outputs.judged[TARGETS[0]], outputs.finetuned
    ends = np.cumsum([0, *(a.shape[1] for a in (outputs.tuned, judged, finetuned))])
    tune, evaluation, fine = (slice(*pair) for pair in pairwise(ends))
    first, rest = slice(0, tuning), slice(tuning, None)

    def part(models: slice, queries: slice) -> dict[str, np.ndarray]:
        return {name: path[:, models, queries] for name, path in predicted.sums.items()}

    grid = [point["damping"] for point in predicted.points]
    table, losses = judge(
        part(evaluation, rest), grid, {t: a[:, :, rest] for t, a in outputs.judged.items()}, draws
    )
    every: Criteria = {
        "each_kind": mean_lds(part(tune, first), outputs.tuned[:, :, first]),
        "finetuned": mean_lds(part(fine, first), finetuned[:, :, first]),
        "finetuned_asked": mean_lds(part(fine, rest), finetuned[:, :, rest]),
        **criteria,
    }
    for rule, values in every.items():
        table = with_criterion(table, rule, values)
    return table, losses


def mean_lds(sums: Mapping[str, np.ndarray], outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Mean LDS along the grid: transform -> [G].

    Args:
        sums: Transform -> [G, M, Q] predictions.
        outputs: [R, M, Q], averaged over the seeds.
    """
    truth = outputs.mean(axis=0, dtype=np.float64)
    return {name: lds.PathLDS(path, truth).mean for name, path in sums.items()}


def judge(
    sums: Mapping[str, np.ndarray],
    grid: Sequence[float],
    outputs: Mapping[str, np.ndarray],
    draws: Draws,
) -> tuple[pd.DataFrame, np.ndarray]:
    """LDS at every damping on evaluation data, and what it loses to the oracle, with intervals.

    Args:
        sums: Transform -> [G, M, Q] predictions.
        grid: [G] relative dampings, ascending.
        outputs: Target -> [R, M, Q].
        draws: The shared bootstrap draws. The oracle's damping stays the same in all of them.

    Returns:
        transform, target and ``JUDGED``; resampled losses [rows, B] float32, in the same order.
    """
    truths = {target: lds.Truth(array, draws) for target, array in outputs.items()}
    ranked = [truth.ranks for truth in truths.values()]
    rows, losses = [], []
    for name in TRANSFORMS:
        resampled = [statistics.correlations(at, ranked) for at in sums[name]]
        for t, (target, truth) in enumerate(truths.items()):
            along = lds.PathLDS(sums[name], truth.mean)
            drawn = np.stack([draws.mean(one[t]) for one in resampled])  # [G, B]
            for g, damping in enumerate(grid):
                lost, lost_drawn = (
                    along.mean[along.best] - along.mean[g],
                    drawn[along.best] - drawn[g],
                )
                values = (damping, along.mean[g])
                values += tuple(draws.bootstrap.interval(along.mean[g], drawn[g]))
                values += (lost, *draws.bootstrap.interval(lost, lost_drawn))
                values += (along.undefined(g), g in (0, len(grid) - 1))
                row = {"transform": name, "target": target}
                rows.append(row | dict(zip(JUDGED, values, strict=True)))
                losses.append(lost_drawn)
    return pd.DataFrame(rows), np.stack(losses).astype(np.float32)


def with_criterion(
    table: pd.DataFrame, rule: str, values: Mapping[str, np.ndarray] | np.ndarray
) -> pd.DataFrame:
    """The table of ``judge`` with one more column.

    Args:
        table: From ``judge``.
        rule: Name of the column.
        values: [G], or transform -> [G].
    """
    of = {name: values[name] if isinstance(values, Mapping) else values for name in TRANSFORMS}
    length = len(next(iter(of.values())))
    repeats = {name: (table["transform"] == name).sum() // length for name in TRANSFORMS}
    column = np.concatenate([np.tile(of[name], repeats[name]) for name in TRANSFORMS])
    return table.assign(**{rule: column})
