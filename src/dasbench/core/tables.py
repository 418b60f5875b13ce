"""Read and write tables; not in ``artifacts``, so that an edit here retrains no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.core import artifacts
from dasbench.core.writing import atomic

INAPPLICABLE = ["experiment", "method", "queries", "reason"]


def save_table(path: str | Path, table: Any) -> None:
    """Write a pandas table as ``.csv`` or ``.parquet``, by the suffix, without its index.

    Raises:
        UserError: If the file system refuses.
    """
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
    """Join the tables of all methods.

    Args:
        folder: Folder with one subfolder for each method.
        table: File name, such as ``summary.csv``.
        settings: ``methods`` (names, in order) and ``tuning`` (method -> M_tune, the number of
            tuning subsets, for methods whose scores are computed from them).

    Returns:
        The rows of all methods. A summary gets the column M_tune; it is 0 for methods that use
        tuning subsets only to choose their damping.
    """
    import pandas as pd

    parts = [load_table(folder / name / table) for name in settings["methods"]]
    whole = pd.concat([part for part in parts if len(part)] or parts[:1])
    if table == "summary.csv":
        whole["M_tune"] = [settings["tuning"].get(name, 0) for name in whole["method"]]
    return whole


def inapplicable(settings: Mapping[str, Any]) -> Any:
    """Table of the reasons why methods have no scores, with the columns ``INAPPLICABLE``.

    Args:
        settings: ``experiment`` and ``inapplicable`` (method -> kind of query -> reason).
    """
    import pandas as pd

    reasons = settings["inapplicable"].items()
    rows = [
        (settings["experiment"], method, kind, reason)
        for method, kinds in reasons
        for kind, reason in kinds.items()
    ]
    return pd.DataFrame(rows, columns=INAPPLICABLE)
