"""Which average over models predicts best? Chosen on tuning data alone.

``attribution.ensembles`` has the scores, ``evaluation.ensemble_members`` what is kept of a member.

A member that was trained on a tuning subset is also one of the models whose outputs judge scores.
It predicts its own output well, so the outputs of its own subset would favour what only members
know. Therefore such an ensemble is *cross-fitted*: the members of one half of the tuning subsets
are judged on the other half, and the reverse; its LDS is the mean of both. So the number shown for
S members is that of S / 2, and that of S is higher if anything. Other members are judged on all
tuning subsets.

Letters: N training examples, q tuning queries, M tuning subsets, G dampings, F functions, S
members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dasbench.attribution.ensembles import FUNCTIONS, ORDERS, distinct
from dasbench.core import artifacts
from dasbench.evaluation.bootstrap import Bootstrap, Draws, generator
from dasbench.evaluation.ensemble_members import Explored
from dasbench.evaluation.lds import PathLDS
from dasbench.evaluation.predictions import sum_scores
from dasbench.evaluation.statistics import ResampledRanks

MOST = 500  # bootstrap draws of a candidate
REFERENCE = 100  # timesteps of das_stepwise, the unit of ``relative_passes``
COLUMNS = [
    *"group models timesteps order function damping edge queries lds lo hi mean_lds".split(),
    *"passes relative_passes trained judged".split(),
]


Means = Mapping[str, Explored]  # kind -> mean over the members of a fold, at one T
FoldSums = dict[str, list[np.ndarray]]  # kind -> predictions [G, m, q] of each fold


def _along(weights: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Predictions [G, m, q] of scores [G, N, q]."""
    return np.stack([sum_scores(weights, one) for one in scores])


class Fold(NamedTuple):
    """Some members, and the tuning subsets whose outputs judge them; both as positions."""

    members: np.ndarray
    subsets: np.ndarray


def folds(members: int, subsets: int, cross: bool) -> list[Fold]:
    """How an ensemble is judged.

    Args:
        members: S; even with ``cross``.
        subsets: M, even with ``cross``.
        cross: Whether member m was trained on tuning subset m.

    Returns:
        One fold with everything; with ``cross`` two, of the first S / 2 members of each half, each
        judged on the subsets of the other half.
    """
    if not cross:
        return [Fold(np.arange(members), np.arange(subsets))]
    first, half = np.arange(members // 2), subsets // 2
    low, high = np.arange(half), np.arange(half, subsets)
    return [Fold(first, high), Fold(half + first, low)]


class Choice(NamedTuple):
    """The damping with the highest mean LDS.

    Attributes:
        best: Its position; of equal means, that of the largest damping.
        lds: Kind of query -> its LDS, the mean over folds and queries.
    """

    best: int
    lds: dict[str, float]


def choose(sums: Mapping[str, Sequence[np.ndarray]], truth: Mapping[str, Sequence]) -> Choice:
    """Choose one damping for all kinds of queries.

    Args:
        sums: Kind -> predictions [G, m, q] of each fold.
        truth: Kind -> outputs [m, q] of each fold, averaged over seeds.
    """
    along = {
        kind: np.mean([PathLDS(*pair).mean for pair in zip(s, truth[kind], strict=True)], axis=0)
        for kind, s in sums.items()
    }
    mean = np.mean(list(along.values()), axis=0)
    best = int(np.flatnonzero(mean == mean.max())[-1])
    return Choice(best, {kind: float(values[best]) for kind, values in along.items()})


def cross_fitted(
    halves: Mapping[str, Sequence[np.ndarray]], masks: np.ndarray, truth: Mapping[str, np.ndarray]
) -> Choice:
    """Choose the damping of an average over tuning models, as a row of the table does.

    Args:
        halves: Kind -> finished scores [G, N, q] of the members of each half.
        masks: [M, N] bool.
        truth: Kind -> [M, q], outputs averaged over seeds.
    """
    weights, split = masks.astype(np.float64), folds(2, len(masks), cross=True)
    sums = {
        kind: [_along(weights[f.subsets], x) for x, f in zip(scores, split, strict=True)]
        for kind, scores in halves.items()
    }
    return choose(sums, {kind: [y[f.subsets] for f in split] for kind, y in truth.items()})


def tuning_data(home: Path, kinds: Sequence[str]) -> tuple[np.ndarray, dict, dict]:
    """Read what may choose: the tuning subsets and their outputs of the tuning queries.

    Args:
        home: Folder of the experiment that trained the models.
        kinds: Kinds of queries.

    Returns:
        masks [M, N]; kind -> outputs [M, q] averaged over seeds; kind -> positions [q] of the
        tuning queries.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the others.
    """
    uses = artifacts.load_json(home / "queries/uses.json")
    masks, truth = artifacts.load_array(home / "masks/tune.npy", (None, None), bool), {}
    queries = {kind: uses[kind]["tuning"] for kind in kinds}
    for kind in kinds:
        file = home / f"outputs/tune/loss-{kind}.npy"
        outputs = artifacts.load_array(file, (None, len(masks), None), np.float32)
        truth[kind] = outputs.mean(axis=0, dtype=np.float64)[:, queries[kind]]
    return masks, truth, queries


class Group(NamedTuple):
    """Models that are averaged.

    Attributes:
        name: "base", "full" or "tune".
        members: Names, in order; an ensemble of S has the first S (of each half: S / 2).
        models: S of each ensemble.
        timesteps: T of each ensemble.
    """

    name: str
    members: list[str]
    models: list[int]
    timesteps: list[int]

    @property
    def cross(self) -> bool:
        """Whether the members were trained on the tuning subsets."""
        return self.name == "tune"

    def trained(self, models: int) -> int:
        """Models besides the base model that are trained for an ensemble of S."""
        return models if self.cross else models - 1


class Ranking:
    """Judges ensembles on tuning subsets and tuning queries.

    Args:
        masks: [M, N] bool.
        truth: Kind -> [M, q], tuning outputs of the tuning queries, averaged over seeds.
        settings: functions, orders, dampings, level, draws, axes.
    """

    def __init__(
        self, masks: np.ndarray, truth: Mapping[str, np.ndarray], settings: Mapping[str, Any]
    ):
        """Keep the data; draws and ranks are made when they are first needed."""
        self.weights, self.truth, self.settings = masks.astype(np.float64), truth, settings
        self.bootstrap = Bootstrap(min(settings["draws"], MOST), settings["level"])
        self._resampled: dict[tuple[str, int, int], tuple[Draws, ResampledRanks]] = {}

    def judge(
        self,
        group: Group,
        members: Mapping[tuple[str, str], Explored],
        grids: Mapping[str, Sequence[int]],
    ) -> list[dict[str, Any]]:
        """Rows of the table for every ensemble of a group.

        Args:
            group: The group.
            members: (name of a member, kind) -> what ``explore`` kept.
            grids: Name of a member -> T of each of its grids, in order.
        """
        rows = []
        for models, timesteps in product(group.models, group.timesteps):
            split = folds(models, len(self.weights), group.cross)
            means = [
                {
                    kind: _mean(
                        members[name, kind].at(grids[name].index(timesteps))
                        for name in (group.members[m] for m in fold.members)
                    )
                    for kind in self.truth
                }
                for fold in split
            ]
            cost = _cost(group, models, timesteps, split)
            pairs = distinct(*(self.settings[k] for k in ("functions", "orders")), cost["judged"])
            for order, function in pairs:
                sums = self._sums(means, split, order, function)
                what = {"order": order, "function": function}
                rows += [cost | what | row for row in self._rows(sums, split)]
        return rows

    def _sums(
        self, means: Sequence[Means], split: Sequence[Fold], order: str, function: str
    ) -> FoldSums:
        """Kind -> predictions [G, m, q] of each fold."""
        sums: FoldSums = {kind: [] for kind in self.truth}
        for by_kind, fold in zip(means, split, strict=True):
            for kind, mean in by_kind.items():
                if order == "whole":
                    scores = FUNCTIONS[function](mean.means)
                    sums[kind].append(_along(self.weights[fold.subsets], scores))
                else:
                    f = self.settings["functions"].index(function)
                    every = mean.predictions[ORDERS.index(order), f]
                    sums[kind].append(every[:, fold.subsets])
        return sums

    def _rows(self, sums: FoldSums, split: Sequence[Fold]) -> list[dict[str, Any]]:
        """One row for each kind of query, at the chosen damping."""
        truth = {kind: [y[f.subsets] for f in split] for kind, y in self.truth.items()}
        choice, dampings = choose(sums, truth), self.settings["dampings"]
        rows = []
        for kind, estimate in choice.lds.items():
            drawn = [
                self._draw(kind, number, one[choice.best], y)
                for number, (one, y) in enumerate(zip(sums[kind], truth[kind], strict=True))
            ]
            lo, hi = self.bootstrap.interval(estimate, np.mean(drawn, axis=0))
            chosen = {"damping": dampings[choice.best]}
            chosen["edge"] = choice.best in (0, len(dampings) - 1)
            row = {"queries": kind, "lds": estimate, "lo": float(lo), "hi": float(hi)}
            rows.append(chosen | row | {"mean_lds": float(np.mean(list(choice.lds.values())))})
        return rows

    def _draw(self, kind: str, fold: int, sums: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Mean LDS [B] of a fold in every resample of its subsets and of the queries.

        The resampled subsets differ between folds; the resampled queries are the same.
        """
        key = kind, fold, len(truth)
        if key not in self._resampled:
            m, q = truth.shape
            uses = [f"ensembles-{kind}-{name}" for name in (f"fold-{fold}-{m}", "queries")]
            rngs = [generator(self.settings["axes"], use) for use in uses]
            subsets, queries = map(self.bootstrap.counts, rngs, (m, q))
            draws = Draws(self.bootstrap, subsets, queries)
            self._resampled[key] = draws, ResampledRanks(truth, subsets)
        draws, ranks = self._resampled[key]
        return draws.mean(ranks.correlate(sums))


def _mean(members: Iterable[Explored]) -> Explored:
    """Mean over members, float64."""
    each = zip(*members, strict=True)
    return Explored(*(np.mean(arrays, axis=0, dtype=np.float64) for arrays in each))


def _cost(group: Group, models: int, timesteps: int, split: Sequence[Fold]) -> dict[str, Any]:
    """The columns that do not depend on scores."""
    passes = models * timesteps
    return {
        "group": group.name,
        "models": models,
        "timesteps": timesteps,
        "passes": passes,
        "relative_passes": passes / REFERENCE,
        "trained": group.trained(models),
        "judged": len(split[0].members),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The ranking: the highest mean LDS first; of equal ones, the cheapest."""
    names = ["mean_lds", "passes", "group", "models", "order", "function", "queries"]
    ascending = [name != "mean_lds" for name in names]
    ranked = pd.DataFrame(rows).sort_values(names, ascending=ascending, kind="stable")
    return ranked[COLUMNS]
