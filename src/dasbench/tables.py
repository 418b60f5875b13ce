"""Tables of an experiment, from those of its methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dasbench import artifacts

INAPPLICABLE = ["experiment", "method", "queries", "reason"]


def joined(
    folder: Path, table: str, methods: Sequence[str], tuning: Mapping[str, int]
) -> pd.DataFrame:
    """One table of all methods.

    Args:
        folder: With one folder for each method.
        table: File name, such as ``summary.csv``.
        methods: Their names, in order.
        tuning: method -> M_tune, of methods that are made from that many tuning subsets.

    Returns:
        The rows of all; a summary says M_tune beside the M that a method is judged on, 0 for
        methods that know of tuning subsets through their damping alone.
    """
    parts = [artifacts.load_table(folder / name / table) for name in methods]
    whole = pd.concat([part for part in parts if len(part)] or parts[:1])
    if table == "summary.csv":
        whole["M_tune"] = [tuning.get(name, 0) for name in whole["method"]]
    return whole


def inapplicable(experiment: str, reasons: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Why a method has no row for a kind of query: ``reasons`` is method -> kind -> reason."""
    rows = [(experiment, m, *why) for m, kinds in reasons.items() for why in kinds.items()]
    return pd.DataFrame(rows, columns=INAPPLICABLE)
