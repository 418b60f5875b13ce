"""Judge scores from elsewhere with the retrained models that an experiment has measured already.

A *judge file*, ``reference/judge/<experiment>.npz``, holds all that this takes: the subsets, the
outputs of the models retrained on them, the images, and the predictions of the experiment's own
methods. The LDS needs only the ranks of predictions over subsets, so ranks are kept: exactly, and
in two bytes each.

Shapes: N training examples, Q queries of a kind, q of them for evaluation, M subsets, R seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from dasbench.attribution.parameters import NO_PARAMETERS
from dasbench.attribution.transforms import TRANSFORMS, apply
from dasbench.core.query_kinds import TARGETS
from dasbench.core.writing import atomic
from dasbench.errors import UserError
from dasbench.evaluation import lds
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.predictions import Predicted, sum_scores

USES = ("tune", "eval")
FLOOR, CLASSES = "floor", "class_match"  # methods that the partial LDS holds fixed


@dataclass(frozen=True)
class Judge:
    """The contents of a judge file.

    Attributes:
        about: experiment; axes (leading seed axes), draws and level of the bootstrap; methods (name
            -> its transform); uses (kind -> tuning and evaluation -> positions of queries).
        arrays: ``masks/tune`` and ``masks/eval`` [M, N] bool;
            ``outputs/<use>/<target>-<kind>`` [R, M, Q] float32; ``ranks/<method>/<kind>`` [M, q]
            uint16, twice the average ranks; ``train/images``, ``train/labels``, ``train/ids``;
            ``queries/<kind>`` and ``queries/<kind>_labels``.
    """

    about: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @property
    def kinds(self) -> list[str]:
        """The kinds of queries."""
        return list(self.about["uses"])

    def shape(self, kind: str) -> tuple[int, int]:
        """(N, Q) of the scores for one kind of query, tuning queries included."""
        return self.arrays["masks/eval"].shape[1], len(self.arrays[f"queries/{kind}"])

    def methods(self, kind: str) -> list[str]:
        """Methods of the experiment with predictions for this kind of query."""
        return [name for name in self.about["methods"] if f"ranks/{name}/{kind}" in self.arrays]

    def positions(self, kind: str, use: str) -> list[int]:
        """Positions of the queries of one use among all queries of the kind."""
        return self.about["uses"][kind]["tuning" if use == "tune" else "evaluation"]

    def outputs(self, kind: str, use: str) -> dict[str, np.ndarray]:
        """Outputs [R, M, q] of each target, for the queries of one use."""
        names = {target: f"outputs/{use}/{target}-{kind}" for target in TARGETS}
        there = {t: self.arrays[name] for t, name in names.items() if name in self.arrays}
        return {t: array[:, :, self.positions(kind, use)] for t, array in there.items()}

    def save(self, path: Path) -> None:
        """Write the file, compressed."""
        about = np.array(json.dumps(self.about, sort_keys=True))
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, about=about, **dict(sorted(self.arrays.items())))


def load(path: Path) -> Judge:
    """Read a judge file.

    Raises:
        UserError: If it does not exist; the sentence lists those that do.
    """
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz"))) or "none"
        raise UserError(f"{path} does not exist, expected one of: {known}")
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Judge(json.loads(str(arrays.pop("about"))), arrays)


def ranked(predictions: np.ndarray) -> np.ndarray:
    """Twice the average ranks over subsets, [M, Q] uint16, of predictions [M, Q]."""
    return np.rint(2 * rankdata(predictions, axis=0)).astype(np.uint16)


def predictions(judge: Judge, scores: np.ndarray, kind: str, use: str) -> Predicted:
    """Predictions of scores [N, Q] under every transform, for the queries of one use.

    Args:
        judge: The judge file.
        scores: [N, Q], of all queries of the kind, higher = more influential.
        kind: Kind of query.
        use: "tune" or "eval".

    Raises:
        UserError: If the shape differs from ``judge.shape``, or a score is not finite.
    """
    expected = judge.shape(kind)
    if scores.shape != expected:
        swapped = "; transpose it" if scores.shape == expected[::-1] else ""
        raise UserError(
            f"the scores have shape {list(scores.shape)}, expected {list(expected)}: a row for "
            f"each training image, a column for each query{swapped}"
        )
    if not np.isfinite(scores).all():
        raise UserError(
            f"{(~np.isfinite(scores)).sum()} of the scores are not finite; give images without "
            "influence the score 0"
        )
    masks = judge.arrays[f"masks/{use}"].astype(np.float64)
    some = np.asarray(scores[:, judge.positions(kind, use)], np.float64)
    sums = {name: sum_scores(masks, apply(some, name))[None] for name in TRANSFORMS}
    return Predicted((NO_PARAMETERS,), sums)


def tuning(judge: Judge, scores: np.ndarray, kind: str) -> pd.Series:
    """LDS of each transform on tuning subsets and tuning queries, target loss.

    Choose transforms and parameters of a method by these numbers alone.
    """
    predicted = predictions(judge, scores, kind, "tune")
    table = lds.select(predicted, judge.outputs(kind, "tune")["loss"])
    return table.set_index("transform")["lds"]


def evaluate(judge: Judge, scores: np.ndarray, kind: str, transform: str) -> lds.Side:
    """Judge scores [N, Q] on evaluation subsets and queries, as the workflow judges its methods.

    Args:
        judge: The judge file.
        scores: [N, Q].
        kind: Kind of query.
        transform: The transform that counts as the scores' own.

    Returns:
        Summary and draws of ``lds.evaluate``, with the column ``own``.
    """
    return _evaluate(judge, predictions(judge, scores, kind, "eval"), kind, transform)


def of_method(judge: Judge, method: str, kind: str) -> lds.Side:
    """The same of a method of the experiment, from its ranks under its own transform."""
    ranks = judge.arrays[f"ranks/{method}/{kind}"].astype(np.float64)[None]
    predicted = Predicted((NO_PARAMETERS,), dict.fromkeys(TRANSFORMS, ranks))
    return _evaluate(judge, predicted, kind, judge.about["methods"][method])


def _evaluate(judge: Judge, predicted: Predicted, kind: str, own: str) -> lds.Side:
    outputs = judge.outputs(kind, "eval")
    bootstrap = Bootstrap(judge.about["draws"], judge.about["level"])
    draws = bootstrap.shared(judge.about["axes"], kind, *outputs["loss"].shape[1:])
    fixed = {name: f"ranks/{name}/{kind}" for name in (FLOOR, CLASSES)}
    given = {k: judge.arrays[v].astype(np.float64) for k, v in fixed.items() if v in judge.arrays}
    parameters = str(NO_PARAMETERS)
    selection = pd.DataFrame([{"transform": t, "parameters": parameters} for t in TRANSFORMS])
    summary, _, drawn = lds.evaluate(predicted, selection, outputs, draws, given)
    return lds.label(summary, own=own, queries=kind), drawn
