"""Read and write tables; apart from ``artifacts``, so that no model depends on their form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.core import artifacts
from dasbench.core.writing import atomic

INAPPLICABLE = ["experiment", "method", "queries", "reason"]


def save_table(path: str | Path, table: Any) -> None:
    """Write a pandas table as ``.csv`` or ``.parquet``, by the suffix; the index is dropped."""
    with atomic(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def load_table(path: str | Path) -> Any:
    """Read a table that ``save_table`` wrote.

    Raises:
        UserError: If the file is missing or no table.
    """
    import pandas as pd

    if Path(path).suffix == ".parquet":
        return artifacts.read(path, pd.read_parquet)
    # a method may be called "null"; only an empty field is missing
    return artifacts.read(
        path, lambda data: pd.read_csv(data, keep_default_na=False, na_values=[""])
    )


def joined(folder: Path, table: str, settings: Mapping[str, Any]) -> Any:
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
    import pandas as pd

    parts = [load_table(folder / name / table) for name in settings["methods"]]
    whole = pd.concat([part for part in parts if len(part)] or parts[:1])
    if table == "summary.csv":
        whole["M_tune"] = [settings["tuning"].get(name, 0) for name in whole["method"]]
    return whole


def inapplicable(settings: Mapping[str, Any]) -> Any:
    """Why methods have no rows; settings: experiment, inapplicable (method -> kind -> reason)."""
    import pandas as pd

    why = settings["inapplicable"].items()
    rows = [
        (settings["experiment"], method, kind, reason)
        for method, kinds in why
        for kind, reason in kinds.items()
    ]
    return pd.DataFrame(rows, columns=INAPPLICABLE)
