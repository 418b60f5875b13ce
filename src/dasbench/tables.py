"""Tables of an experiment, from those of its methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dasbench import artifacts


def joined(folder: Path, table: str, settings: Mapping[str, Any]) -> pd.DataFrame:
    """One table of all methods.

    Args:
        folder: With one folder for each method.
        table: File name, such as ``summary.csv``.
        settings: methods (names, in order), tuning (method -> M_tune, of methods that are made from
            that many tuning subsets).

    Returns:
        The rows of all; a summary says M_tune beside the M that a method is judged on, 0 for
        methods that know of tuning subsets through their damping alone.
    """
    parts = [artifacts.load_table(folder / name / table) for name in settings["methods"]]
    whole = pd.concat([part for part in parts if len(part)] or parts[:1])
    if table == "summary.csv":
        whole["M_tune"] = [settings["tuning"].get(name, 0) for name in whole["method"]]
    return whole
