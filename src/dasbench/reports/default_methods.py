"""Why the tool uses the method that it uses: LDS on every data set, and cost.

The table joins the tables that are kept for docs/findings.md, so it can be made without results.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dasbench.core import tables
from dasbench.reports.markdown_tables import Column, Form, interval, number

KEPT = "default-methods.csv"
METHODS = ("das_stepwise", "das_common", "trak_common", "das", "trak", "floor")
# experiment -> its kept table of methods; "" is the timed study on digits, with fewer timesteps
SETS = {
    "digits": "methods.csv",
    "fashion": "fashion.csv",
    "emoji": "emoji.csv",
    "digits_moved": "digits_moved.csv",
}
TIMED = "cost-quality.csv"
SIZES = {"stepwise_t_20": 20, "stepwise_t_5": 5, "stepwise_t_1": 1}  # of das_stepwise
_COLUMNS = ["method", "timesteps", "seconds", "experiment", "queries", "lds", "lo", "hi"]


def renew(folder: Path) -> bool:
    """Write the table again if its parts are kept and it would change.

    Args:
        folder: ``reference/findings``.

    Returns:
        Whether the table was written.
    """
    if not all((folder / name).is_file() for name in (*SETS.values(), TIMED)):
        return False
    new = joined(folder)
    if (folder / KEPT).is_file() and tables.load_table(folder / KEPT).equals(new):
        return False
    tables.save_table(folder / KEPT, new)
    return True


def joined(folder: Path) -> pd.DataFrame:
    """LDS of some methods on every data set, with their cost on digits.

    Args:
        folder: ``reference/findings``.

    Returns:
        method, timesteps and seconds (of the timed study on digits; NaN if it does not have the
        method), experiment, queries, lds, lo, hi (target loss, held-out damping).
    """
    timed = tables.load_table(folder / TIMED)
    bill = timed.drop_duplicates("method").set_index("method")[["timesteps", "seconds"]]
    parts = []
    for experiment, name in SETS.items():
        table = tables.load_table(folder / name)
        own = table[table.own & (table.target == "loss") & (table.selection == "held_out")]
        parts.append(own[own["method"].isin(METHODS)].assign(experiment=experiment))
    fewer = timed[timed["method"].isin(list(SIZES))].assign(experiment="digits")
    rows = pd.concat([*parts, fewer]).drop(columns=["timesteps", "seconds"])
    order = {name: place for place, name in enumerate([METHODS[0], *SIZES, *METHODS[1:]])}
    rows = rows.sort_values("method", key=lambda names: names.map(order), kind="stable")
    rows = rows.join(bill, on="method").replace({"method": dict.fromkeys(SIZES, METHODS[0])})
    return rows[_COLUMNS].reset_index(drop=True)


FORM = Form(
    rows={
        "method": "`{method}`",
        "timesteps": number("timesteps", ".0f"),
        "seconds": number("seconds", ".1f"),
    },
    columns=[
        Column(
            f"{experiment}, {word}", interval("lds"), {"experiment": experiment, "queries": kind}
        )
        for experiment in SETS
        for kind, word in (("val", "held-out"), ("gen", "generated"))
    ],
)
