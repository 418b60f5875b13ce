"""Every combination of residual, leverage, transform, kernel and damping on one set of features.

Vocabulary: a *factor row* is r_i / (1 - h_i) of one (residual, leverage); a *cell* is one
combination of all options. A cell is judged like a method: its damping is selected on tuning
subsets and tuning queries, its LDS is measured on evaluation subsets and queries. Its interval uses
the same draws as ``dasbench.evaluation.lds``.

Shapes: N training examples, Q queries, M subset models, T timesteps, P features, G dampings, C
factor rows, B bootstrap draws.

A factor row may multiply the masks instead of the scores, because the transforms are
multiplicative: transform(f s) = transform(f) transform(s). So the scores of one damping serve all C
factor rows, and one decomposition of a kernel serves all cells with this kernel. Timesteps are
decomposed one after the other, and only their predictions are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dasbench.attribution.by_timestep import Spectra, features_at
from dasbench.attribution.parameters import dampings
from dasbench.attribution.spectrum import Spectrum
from dasbench.attribution.transforms import TRANSFORMS, apply
from dasbench.core.blocks import memory_blocks
from dasbench.evaluation import lds
from dasbench.evaluation.bootstrap import Draws
from dasbench.evaluation.predictions import Predicted
from dasbench.experiments.ablation_design import LEVERAGE

CELL = ["residual", "leverage", "transform", "kernel", "damping_rule", "queries", "target"]
COLUMNS = [*CELL, "damping", "edge", "lds", "lo", "hi", "undefined"]


class Use(NamedTuple):
    """Subsets whose scores are summed, and the positions of the queries."""

    masks: np.ndarray  # [M, N] bool
    queries: Sequence[int]


def predict(
    spectra: Spectra,
    kernel: str,
    queries: Mapping[str, np.ndarray],
    residuals: Mapping[str, np.ndarray | float],
    grid: np.ndarray,
    uses: Mapping[str, Mapping[str, Use]],
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Predicted outputs of subset models for every damping, transform and factor row.

    Each tau_t is decomposed once, for all queries; the predictions of all timesteps add up.

    Args:
        spectra: Kernels of the training features.
        kernel: averaged, pooled or per_t.
        queries: kind -> [T, Q, P].
        residuals: name -> [N], [T, N], or 1.0 for no residual.
        grid: [G] relative dampings, ascending.
        uses: kind -> use -> subsets and queries.

    Returns:
        kind -> use -> transform -> [G, C, M, q] float64, C in the order of residuals x LEVERAGE.
    """
    steps, count = spectra.steps(kernel), len(residuals) * len(LEVERAGE)
    totals = {
        kind: {
            name: {
                transform: np.zeros((len(grid), count, len(use.masks), len(use.queries)))
                for transform in TRANSFORMS
            }
            for name, use in by_use.items()
        }
        for kind, by_use in uses.items()
    }
    for t in range(steps):
        spectrum = spectra.at(kernel, t)
        rows = list(zip(grid, factor_rows(spectrum, t, residuals, grid), strict=True))
        for kind, query in queries.items():
            features = features_at(query, kernel, t)
            for name, use in uses[kind].items():
                some, weights = features[list(use.queries)], use.masks / steps
                _add(totals[kind][name], spectrum, some, weights, rows)
        del spectrum  # its memory is free before the next is decomposed
    return totals


def _add(
    totals: Mapping[str, np.ndarray],
    spectrum: Spectrum,
    features: np.ndarray,
    weights: np.ndarray,
    rows: Sequence[tuple[float, np.ndarray]],
) -> None:
    """Add the predictions of one tau_t, a block of queries at a time.

    Args:
        totals: transform -> [G, C, M, q], changed in place.
        spectrum: The kernel of tau_t.
        features: [q, P] of the queries.
        weights: [M, N] of examples in the sums; the masks, divided by the number of tau_t.
        rows: G pairs of a damping and factor rows [C, N].
    """
    for columns in memory_blocks(len(features), 8 * weights.shape[1]):
        some = spectrum.of(features[columns])
        for g, (damping, factors) in enumerate(rows):
            scores = some.inner(damping)
            for name, total in totals.items():
                transformed = apply(scores, name)
                for c, row in enumerate(apply(factors, name)):
                    total[g, c][:, columns] += (weights * row) @ transformed


def factor_rows(
    spectrum: Spectrum, t: int, residuals: Mapping[str, np.ndarray | float], grid: np.ndarray
) -> np.ndarray:
    """r_i / (1 - h_i) of tau_t, [G, C, N], C in the order of residuals x LEVERAGE.

    Args:
        spectrum: The kernel of tau_t.
        t: Index of the timestep.
        residuals: name -> [N], [T, N], or 1.0 for no residual.
        grid: [G] relative dampings.
    """
    left = spectrum.one_minus_leverage(grid)
    own = [r[t] if np.ndim(r) > 1 else r for r in residuals.values()]
    rows = [r / (left if leverage else np.ones_like(left)) for r in own for leverage in LEVERAGE]
    return np.stack(rows, axis=1)


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
    spectra: Spectra,
    queries: Mapping[str, np.ndarray],
    residuals: Mapping[str, Mapping[str, np.ndarray | float]],
    grid: np.ndarray,
    uses: Mapping[str, Mapping[str, Use]],
    judges: Mapping[str, Judge],
) -> tuple[pd.DataFrame, np.ndarray]:
    """Judge every cell of one set of features.

    Args:
        spectra: Kernels of the training features.
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
        predicted = predict(spectra, kernel, queries, by_name, grid, uses)
        for kind, by_use in predicted.items():
            for c, (residual, leverage) in enumerate(names):
                head = {"kernel": kernel, "queries": kind}
                head |= {"residual": residual, "leverage": leverage}
                sums = [{n: s[:, c] for n, s in by_use[use].items()} for use in ("tune", "eval")]
                for row, drawn in judges[kind](grid, *sums):
                    rows.append(head | row)
                    draws.append(drawn)
            print(f"{kernel}, {kind}: {len(names)} factor rows", flush=True)
    return pd.DataFrame(rows)[COLUMNS], np.stack(draws)
