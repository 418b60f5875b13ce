"""Made-up tables of studies whose figures stand outside the report; the numbers mean nothing."""

import itertools

import numpy as np
import pandas as pd

SETS, METHODS = ("digits", "dampings_emoji"), ("trak", "das")
RULES = ("gcv_query", "each_kind", "oracle", "agreement")


def damping_rules():
    """``dampings/rules.csv``: points lost by each rule, with the oracle, of two data sets."""
    keys = itertools.product(SETS, METHODS, ("val", "gen"), ("loss", "displacement"), RULES)
    table = pd.DataFrame(keys, columns=["experiment", "method", "queries", "target", "rule"])
    lost = np.random.default_rng(0).uniform(0, 0.12, len(table))
    table["set"] = table["experiment"].str.removeprefix("dampings_")
    table = table.assign(lost=np.where(table.rule == "oracle", 0, lost), own=True)
    return pd.concat([table, table.assign(own=False, lost=0.5)], ignore_index=True)


def averages():
    """``ensembles/tuning.csv``: two groups of models, two numbers of timesteps, two functions."""
    rows = [
        {
            **{"group": group, "models": models, "timesteps": timesteps, "function": function},
            **{"queries": kind, "lds": lds, "lo": lds - 0.1, "hi": lds + 0.1, "mean_lds": lds},
            "passes": models * timesteps,
        }
        for group, models in (("base", 1), ("tune", 2), ("tune", 4))
        for timesteps in (1, 3)
        for function, lds in (("square", 0.3 + 0.01 * models), ("abs_3", 0.2))
        for kind in ("gen", "val")
    ]
    return pd.DataFrame(rows)


def retrieved(queries, groups, methods=("random", "das", "pixel_cosine")):
    """``retrieval/retrieval.csv`` of some groups of one kind of query."""
    made = []
    for group in groups:
        for place, method in enumerate(methods):
            row = {"queries": queries, "group": group, "method": method, "questions": 7}
            row |= {"first": 0.1 * place, "precision": 0.2 * place, "precision_chance": 0.05}
            made.append(row | {"precision_lo": 0.15 * place, "precision_hi": 0.25 * place})
    return pd.DataFrame(made)


def tables():
    """File -> table."""
    return {
        "dampings/rules.csv": damping_rules(),
        "ensembles/tuning.csv": averages(),
        "retrieval/retrieval.csv": retrieved("val", ["a", "b"]),
    }
