"""Variation of the LDS over random draws that its interval ignores: features and base model.

Vocabulary: a *replicate* repeats an experiment with another random draw of the base model or of the
features, on the same data, queries and subset models. Base 0 and features 0 are the draws of the
experiment itself. The bootstrap intervals do not include this variation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

KEY = ["method", "transform", "queries", "target", "selection"]
SELECTIONS = ("held_out", "oracle")


def values(summaries: Mapping[str, pd.DataFrame], draws: Mapping[str, Mapping[str, int]]) -> Any:
    """LDS of every method in every replicate, under the transform that the column ``own`` marks.

    Args:
        summaries: experiment -> ``lds/summary.csv``.
        draws: experiment -> numbers of its base and features draws.

    Returns:
        experiment, base, features, KEY, lds.
    """
    tables = []
    for name, summary in summaries.items():
        keep = summary.own.astype(bool) & summary.selection.isin(SELECTIONS)
        rows = summary.loc[keep, [*KEY, "lds"]]
        tables.append(rows.assign(experiment=name, **draws[name]))
    return pd.concat(tables)[["experiment", "base", "features", *KEY, "lds"]]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread of each method over replicates.

    Args:
        table: From ``values``.

    Returns:
        KEY, replicates, mean, sd (over all), lowest, highest, sd_features (within a base model,
        pooled), sd_base (of the means of base models). A standard deviation of one value is NaN.
    """
    rows = []
    for key, part in table.groupby(KEY, sort=False):
        within = part.groupby("base").lds
        freedom = (within.size() - 1).sum()
        squares = (within.var(ddof=1) * (within.size() - 1)).sum()
        rows.append(
            dict(zip(KEY, key, strict=True))
            | {"replicates": len(part), "mean": part.lds.mean(), "sd": part.lds.std(ddof=1)}
            | {"lowest": part.lds.min(), "highest": part.lds.max()}
            | {"sd_features": (squares / freedom) ** 0.5 if freedom else float("nan")}
            | {"sd_base": within.mean().std(ddof=1)}
        )
    return pd.DataFrame(rows)


def comparisons(table: pd.DataFrame, pairs: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """Mean and spread over replicates of the primary differences a - b, at held-out damping.

    Args:
        table: From ``values``.
        pairs: Comparisons of the experiment file, each with a and b.

    Returns:
        a, b, queries, target, replicates, mean, sd, lowest, highest, positive (number of
        differences above 0).
    """
    rows = []
    held = table[table.selection == "held_out"]
    wide = held.pivot(index=["experiment", "queries", "target"], columns="method", values="lds")
    for pair in pairs:
        if {pair["a"], pair["b"]} <= set(wide):
            difference = (wide[pair["a"]] - wide[pair["b"]]).dropna()
            for (queries, target), part in difference.groupby(["queries", "target"], sort=False):
                rows.append(
                    {"a": pair["a"], "b": pair["b"], "queries": queries, "target": target}
                    | {"replicates": len(part), "mean": part.mean(), "sd": part.std(ddof=1)}
                    | {"lowest": part.min(), "highest": part.max()}
                    | {"positive": int((part > 0).sum())}
                )
    columns = ["a", "b", "queries", "target", "replicates", "mean", "sd"]
    return pd.DataFrame(rows, columns=[*columns, "lowest", "highest", "positive"])
