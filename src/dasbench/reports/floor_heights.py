"""How high is the floor? Its LDS, that of an untuned similarity, and of the best gradient score.

The gradient score of a data set and kind of query is the one with the highest LDS on tuning data,
under its own transform, so that nothing is chosen on the numbers shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dasbench.core import tables
from dasbench.core.query_kinds import KINDS
from dasbench.registry import METHODS

UNTUNED = "pixel_cosine"
COLUMNS = [*"experiment queries side method parameters lds lo hi partial".split()]
COLUMNS += ["partial_lo", "partial_hi"]


def uses_gradients(method: str) -> bool:
    """Whether a registered method compares gradients of the model; controls do not count."""
    options = METHODS.get(method, {})
    gradients = isinstance(options.get("features"), Mapping) or "computed" in options
    return gradients and "control" not in options


def of_experiment(folder: Path) -> pd.DataFrame:
    """The rows of one experiment.

    Args:
        folder: ``results/<experiment>/lds``.

    Returns:
        COLUMNS for each kind of query and side: "untuned" (``pixel_cosine``), "floor", "gradient";
        for the loss target, with held-out parameters. Empty without a floor.
    """
    summary = tables.load_table(folder / "summary.csv")
    own = summary[summary.own & (summary.target == "loss") & (summary.selection == "held_out")]
    if "partial" not in own or "floor" not in set(own["method"]):
        return pd.DataFrame(columns=COLUMNS)
    selection = tables.load_table(folder / "selection.csv")
    tuned = own[["method", "queries", "transform"]].merge(selection)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        scores = tuned[(tuned["queries"] == kind) & tuned["method"].map(uses_gradients)]
        sides = {"untuned": UNTUNED, "floor": "floor"}
        if len(scores):
            sides["gradient"] = scores.sort_values("lds", kind="stable")["method"].iloc[-1]
        for side, method in sides.items():
            for row in own[(own["method"] == method) & (own["queries"] == kind)].to_dict("records"):
                rows.append({**row, "side": side})
    return pd.DataFrame(rows)[COLUMNS]


def renew(kept: Path, results: Path, names: Iterable[str]) -> bool:
    """Renew the rows of the experiments whose results are here; those of others stay.

    Args:
        kept: The table, ``.csv``; it may be absent.
        results: Folder of the experiments.
        names: The experiments of the table, in their order.

    Returns:
        Whether the table was written.
    """
    names = list(names)
    found = [n for n in names if (results / n / "lds/selection.csv").is_file()]
    parts = [part for n in found if len(part := of_experiment(results / n / "lds"))]
    if not parts:
        return False
    new = pd.concat(parts).round(6)
    if kept.is_file():
        old = tables.load_table(kept)
        new = pd.concat([old[~old["experiment"].isin(new["experiment"])], new])
    places = new["experiment"].map(names.index).to_numpy()
    tables.save_table(kept, new.iloc[places.argsort(kind="stable")])
    return True
