"""Read the truths of ``dasbench.evaluation.truths`` from the results of the benchmark.

Letters: N training examples, Q queries, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dasbench.core import artifacts
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import groups, lds, statistics
from dasbench.evaluation.bootstrap import Bootstrap, generator
from dasbench.evaluation.truths import Truth, over_queries


def of_lds(folders: Mapping[str, Path], kind: str, source: str) -> Iterator[Truth]:
    """The held-out LDS of both targets, on the draws that judged all methods.

    Args:
        folders: Method -> folder with ``summary.csv`` and ``draws.npy``.
        kind: Kind of query.
        source: The experiment that measured them.
    """
    found: dict[str, tuple[list[float], list[np.ndarray]]] = {t: ([], []) for t in TARGETS}
    for folder in folders.values():
        summary, draws = lds.read(Path(folder))[kind]
        rows = summary[summary["selection"].isin(lds.DRAWN)].reset_index(drop=True)
        for target, (values, drawn) in found.items():
            keep = rows["own"] & (rows["selection"] == "held_out") & (rows["target"] == target)
            (place,) = np.flatnonzero(keep)
            values.append(rows["lds"][place])
            drawn.append(draws[place])
    for target, (values, drawn) in found.items():
        yield Truth(target, source, pd.Series(values, index=list(folders)), np.stack(drawn, axis=1))


class Resampled:
    """Truths that are means over queries.

    Args:
        bootstrap: Number of draws.
        axes: Leading seed axes of the experiment.
        kind: Kind of query.
    """

    def __init__(self, bootstrap: Bootstrap, axes: list[Any], kind: str) -> None:
        """Keep what every truth shares (see the class)."""
        self.bootstrap, self.axes, self.kind = bootstrap, axes, kind

    def _truth(self, name: str, source: str, per_query: pd.DataFrame) -> Truth:
        rng = generator(self.axes, f"truths-{name}-{source}-{self.kind}")
        return over_queries(name, source, per_query, self.bootstrap, rng)

    def of_groups(self, per_query: pd.DataFrame, source: str) -> Iterator[Truth]:
        """Rank correlation over groups, for each target and scope.

        Args:
            per_query: ``groups/per_query.parquet``.
            source: The experiment that measured it.
        """
        table = per_query[
            (per_query["queries"] == self.kind) & (per_query["measure"] == "spearman")
        ]
        for target in TARGETS:
            for scope in groups.SCOPES:
                rows = table[(table["target"] == target) & (table["scope"] == scope)]
                if len(rows):
                    values = rows.pivot(index="query", columns="method", values="value")
                    yield self._truth(f"groups-{scope}-{target}", source, values)

    def of_removal(
        self, per_query: pd.DataFrame, methods: list[str], source: str
    ) -> Iterator[Truth]:
        """Change of the loss without a method's k highest scores, for each k.

        Args:
            per_query: ``removal/per_query.parquet``, of generated queries.
            methods: Those that count.
            source: The experiment that measured it.
        """
        table = per_query[per_query["method"].isin(methods)]
        for k, rows in table.groupby("k"):
            values = rows.pivot(index="query", columns="method", values="loss_change")
            yield self._truth(f"removal-{k:g}", source, values)

    def of_exact(
        self, exact: np.ndarray, scores: Mapping[str, np.ndarray], source: str
    ) -> Iterator[Truth]:
        """Rank correlation over training images with exact derivatives, and with their size.

        Args:
            exact: [N, Q].
            scores: Method -> [N, Q].
            source: The experiment that measured it.
        """
        for name, truth in (("exact", exact), ("exact-size", np.abs(exact))):
            each = {m: statistics.spearman(values, truth) for m, values in scores.items()}
            yield self._truth(name, source, pd.DataFrame(each))


def exact_influence(
    folder: Path, parts: Mapping[str, Any], kind: str
) -> tuple[np.ndarray, list[int]]:
    """Exact influence on all queries of a kind, and the positions of these queries.

    Args:
        folder: Folder with ``<part>.npy``, each [N, q].
        parts: Name of a part -> its kind, and its queries as positions in ``queries/<kind>.npy``.
        kind: Kind of query.

    Returns:
        [N, Q], and Q positions.
    """
    chosen = {part: where for part, (of, where) in parts.items() if of == kind}
    arrays = [artifacts.load_array(folder / f"{part}.npy", (None, None)) for part in chosen]
    return np.concatenate(arrays, axis=1), [q for where in chosen.values() for q in where]
