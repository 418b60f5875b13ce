"""Made-up tables of the studies beside the main table; the numbers mean nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

ORDERS = ("first", "last", "shapley")
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


def along_paths():
    """``trajectory/lds.csv`` of three methods, and ``trajectory/places.csv``."""
    shifts = {"trajectory": 0.0, "displacement": 0.2, "loss": 0.3}
    rows = [
        {"target": target, "method": method, "lds": lds, "lo": lds - 0.1, "hi": lds + 0.1}
        for target, shift in shifts.items()
        for method, lds in (("random", shift / 10), ("das", 0.1 + shift), ("floor", 0.4 - shift))
    ]
    path = {"place": [0, 1, 2], "displacement": [0.5, 2.0, 1.0], "correlation": [0.3, 0.9, 0.6]}
    return pd.DataFrame(rows), pd.DataFrame(path)


def of_methods(names: list[str], quality: Mapping[str, float]) -> dict[str, pd.DataFrame]:
    """Fewer models, costs and an ablation: file -> table."""
    rows: dict[str, list[dict[str, Any]]] = {
        "by_models": [],
        "costs": [],
        "effects": [],
        "gains": [],
    }
    for kind in ("val", "gen"):
        key = {"queries": kind, "target": "loss"}
        for i, method in enumerate(names):
            lds = quality.get(method, 0.1)
            rows["by_models"] += [
                {
                    "method": method,
                    **key,
                    "models": m,
                    "lds": lds,
                    "lo": lds - 1 / m,
                    "hi": lds + 1 / m,
                }
                for m in (8, 16, 64)
            ]
            bounds = {"lds": lds, "lo": lds - 0.02, "hi": lds + 0.02}
            front = {"seconds": 2.0**i, "front": i < len(names) - 1}
            rows["costs"].append({"method": method, "queries": kind, **bounds, **front})
        effect = {**key, "difference": 0.03, "lo": 0.01, "hi": 0.05}
        choice = {"factor": "transform", "level": "square", "reference": "identity"}
        rows["effects"] += [{"scope": scope, **choice, **effect} for scope in ("all", "das")]
        path = {"before": "dtrak", "after": "das", "from": "identity", "to": "square"}
        rows["gains"] += [
            {**path, "switch": switch, "order": order, **effect}
            for switch, order in (("all", "all"), *(("transform", o) for o in ORDERS))
        ]
    files = ("lds/by_models", "cost-quality", "ablation/main_effects", "ablation/gains")
    return {
        f"{file}.csv": pd.DataFrame(table) for file, table in zip(files, rows.values(), strict=True)
    }


def tables(names: list[str], quality: Mapping[str, float]) -> dict[str, pd.DataFrame]:
    """File -> table.

    Args:
        names: Methods.
        quality: Method -> a number that its values grow with.
    """
    judged, places = along_paths()
    return of_methods(names, quality) | {
        "trajectory/lds.csv": judged,
        "trajectory/places.csv": places,
        "dampings/rules.csv": damping_rules(),
        "ensembles/tuning.csv": averages(),
        "retrieval/retrieval.csv": retrieved("val", ["a", "b"]),
    }
