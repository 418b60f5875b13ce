"""Every combination of residual, leverage, transform, kernel and damping on one set of features.

Vocabulary: a *factor row* is r_i / (1 - h_i) of one (residual, leverage); a *cell* is one
combination of all options. A cell is judged like a method: its damping is selected on tuning
subsets and tuning queries, its LDS is measured on evaluation subsets and queries. Its interval uses
the same draws as ``dasbench.evaluation.lds``.

Shapes: N training examples, Q queries, M subset models, T timesteps, P features, G dampings, C
factor rows, B bootstrap draws.

A factor row may multiply the masks instead of the scores, because the transforms are
multiplicative: transform(f s) = transform(f) transform(s). So one product [C M, N] x [N, Q] serves
all C factor rows, and one decomposition of a kernel serves all cells with this kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.parameters import dampings
from dasbench.attribution.spectrum import Spectrum
from dasbench.attribution.transforms import TRANSFORMS, apply
from dasbench.evaluation import lds
from dasbench.evaluation.bootstrap import Draws
from dasbench.evaluation.predictions import Predicted
from dasbench.experiments.ablation_design import LEVERAGE

CELL = ["residual", "leverage", "transform", "kernel", "damping_rule", "queries", "target"]
COLUMNS = [*CELL, "damping", "edge", "lds", "lo", "hi", "undefined"]


class Kernels:
    """The decomposed kernels of one set of features by timestep [T, N, P]."""

    def __init__(self, train: np.ndarray):
        """Decompose the averaged kernel; ``Spectra`` decomposes the others at their first use."""
        self.averaged, self.spectra = Spectrum(_mean(train)), Spectra(train)

    def asked(self, kernel: str, query: np.ndarray) -> list[Spectrum]:
        """The kernel with queries [T, Q, P]: one ``Spectrum`` for each tau_t, or one in all."""
        if kernel == "averaged":
            return [self.averaged.of(_mean(query))]
        return self.spectra.of(kernel, query)

    def one_minus_leverage(self, kernel: str, damping: float) -> np.ndarray:
        """1 - h, [N] or [T, N]."""
        if kernel == "averaged":
            return self.averaged.one_minus_leverage(damping)
        return self.spectra.one_minus_leverage(kernel, damping)


def _mean(features: np.ndarray) -> np.ndarray:
    return np.asarray(features).mean(axis=0, dtype=np.float64)


class Use(NamedTuple):
    """Subsets whose scores are summed, and the positions of the queries."""

    masks: np.ndarray  # [M, N] bool
    queries: Sequence[int]


def predict(
    asked: Sequence[Spectrum],
    rows: Iterator[tuple[float, np.ndarray]],
    uses: Mapping[str, Use],
) -> dict[str, dict[str, np.ndarray]]:
    """Predicted outputs of subset models for every damping, transform and factor row.

    Args:
        asked: From ``Kernels.asked``, one for each tau_t.
        rows: Yields (damping, factor rows [C, N] or [C, T, N]), dampings ascending.
        uses: name -> subsets and queries.

    Returns:
        use -> transform -> [G, C, M, q] float64.
    """
    sums: dict[str, dict[str, list]] = {u: {name: [] for name in TRANSFORMS} for u in uses}
    for damping, factors in rows:
        count = len(factors)
        totals = {
            (u, name): np.zeros((count * len(use.masks), len(use.queries)))
            for u, use in uses.items()
            for name in TRANSFORMS
        }
        for t, spectrum in enumerate(asked):
            scores = spectrum.inner(damping)
            row = factors if factors.ndim == 2 else factors[:, t]  # noqa: PLR2004 [C, N]
            for name in TRANSFORMS:
                weights, transformed = apply(row, name), apply(scores, name) / len(asked)
                for u, use in uses.items():
                    wide = (weights[:, None, :] * use.masks).reshape(-1, row.shape[1])
                    totals[u, name] += wide @ transformed[:, use.queries]
        for (u, name), total in totals.items():
            sums[u][name].append(total.reshape(count, -1, total.shape[1]))
    return {u: {n: np.stack(each) for n, each in by.items()} for u, by in sums.items()}


def factor_rows(
    kernels: Kernels, kernel: str, residuals: Mapping[str, np.ndarray | float], grid: Sequence
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (damping, rows [C, N] or [C, T, N]), C in the order of residuals x LEVERAGE.

    Args:
        kernels: Of the training features.
        kernel: averaged, pooled or per_t.
        residuals: name -> [N], [T, N], or 1.0 for no residual.
        grid: Relative dampings.
    """
    for damping in grid:
        left = kernels.one_minus_leverage(kernel, damping)
        rows = [
            np.broadcast_to(residual / (left if leverage else 1.0), left.shape)
            for residual in residuals.values()
            for leverage in LEVERAGE
        ]
        yield damping, np.stack(rows)


class Judge:
    """Tuning and evaluation outputs of one kind of query, and the shared bootstrap draws.

    Args:
        tuning: [R, M_tune, Q_tune] for the target loss.
        outputs: target -> [R, M, Q].
        draws: For (M, Q).
        fixed: Relative dampings that are always judged, next to the selected ones.
    """

    def __init__(
        self,
        tuning: np.ndarray,
        outputs: Mapping[str, np.ndarray],
        draws: Draws,
        fixed: Sequence[float] = (),
    ):
        """Rank the outputs in every resample."""
        self.tuning, self.draws, self.fixed = tuning, draws, fixed
        self.truths = {target: lds.Truth(array, draws) for target, array in outputs.items()}

    def __call__(
        self, grid: np.ndarray, tuned: Mapping[str, np.ndarray], judged: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Judge one factor row under every transform, target and rule for the damping.

        Args:
            grid: [G] relative dampings, ascending.
            tuned: transform -> [G, M_tune, Q_tune] predictions.
            judged: transform -> [G, M, Q] predictions.

        Yields:
            (values of COLUMNS without kernel, queries, residual and leverage; draws [B] float32).
        """
        selection = lds.select(
            Predicted(tuple(dampings(grid)), dict(tuned)), self.tuning
        ).set_index("transform")
        for transform, sums in judged.items():
            for target, truth in self.truths.items():
                along = lds.PathLDS(sums, truth.mean)
                picks = {"held_out": _nearest(grid, selection["damping"][transform])}
                picks |= {"oracle": along.best}
                picks |= {f"fixed_{value:g}": _nearest(grid, value) for value in self.fixed}
                drawn = truth.resample(sums, picks)
                for rule, g in picks.items():
                    lo, hi = self.draws.bootstrap.interval(along.mean[g], drawn[g])
                    row = {"transform": transform, "target": target, "damping_rule": rule}
                    row |= {"damping": grid[g], "edge": g in (0, len(grid) - 1)}
                    row |= {"lds": along.mean[g], "lo": lo, "hi": hi}
                    yield row | {"undefined": along.undefined(g)}, drawn[g].astype(np.float32)


def _nearest(grid: np.ndarray, value: float) -> int:
    """Index of the damping that is nearest on the logarithmic scale."""
    return int(np.abs(np.log(grid / value)).argmin())


def cells(
    kernels: Kernels,
    queries: Mapping[str, np.ndarray],
    residuals: Mapping[str, Mapping[str, np.ndarray | float]],
    grid: np.ndarray,
    uses: Mapping[str, Mapping[str, Use]],
    judges: Mapping[str, Judge],
) -> tuple[pd.DataFrame, np.ndarray]:
    """Judge every cell of one set of features.

    Args:
        kernels: Of the training features.
        queries: kind -> [T, Q, P].
        residuals: kernel -> residual -> [N], [T, N] or 1.0.
        grid: [G] relative dampings, ascending.
        uses: kind -> {"tune": ..., "eval": ...}.
        judges: kind -> judge of this kind of query.

    Returns:
        A table with COLUMNS, and draws [rows, B] float32 in the order of its rows.
    """
    rows, draws = [], []
    for kernel, by_name in residuals.items():
        names = [(residual, leverage) for residual in by_name for leverage in LEVERAGE]
        for kind, query in queries.items():
            spectra = kernels.asked(kernel, query)
            predicted = predict(spectra, factor_rows(kernels, kernel, by_name, grid), uses[kind])
            for c, (residual, leverage) in enumerate(names):
                head = {"kernel": kernel, "queries": kind}
                head |= {"residual": residual, "leverage": leverage}
                sums = [{n: s[:, c] for n, s in predicted[use].items()} for use in ("tune", "eval")]
                for row, drawn in judges[kind](grid, *sums):
                    rows.append(head | row)
                    draws.append(drawn)
            print(f"{kernel}, {kind}: {len(names)} factor rows", flush=True)
    return pd.DataFrame(rows)[COLUMNS], np.stack(draws)
