"""A small made-up ``results/<experiment>`` folder with the shapes and tables of a real one.

The numbers mean nothing; they only have the ranges, signs and gaps (undefined rows, methods
without damping, a kind of query without ceiling) that figures and report have to cope with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import synthetic_groups
import synthetic_studies
from dasbench.core import artifacts, tables

QUALITY = {
    "random": 0.0,
    "class_match": 0.0,
    "train_norm": 0.02,
    "pixel_dot": 0.04,
    "pixel_cosine": 0.08,
    "floor": 0.14,
    "gradient_dot": 0.05,
    "gradient_cosine": 0.09,
    "trak": 0.12,
    "trak_common": 0.15,
    "relative_if": 0.13,
    "renormalized_if": 0.11,
    "dtrak": 0.17,
    "dtrak_common": 0.21,
    "das": 0.18,
    "das_l1": 0.16,
    "das_released": 0.15,
    "das_common": 0.24,
    "datamodel": 0.1,
}
CONTROLS = ("random", "class_match", "train_norm")
UNDAMPED = (
    *(*CONTROLS, "pixel_dot", "pixel_cosine", "floor"),
    *("gradient_dot", "gradient_cosine", "datamodel"),
)
TRANSFORMS = ("identity", "square", "signed_square")
GRID = [m * 10.0**e for e in range(-8, 1) for m in (1, 2, 5)]
SIZES = {"M": 64, "R": 2, "Q": 100}
REMOVAL = ("das", "das_common", "dtrak", "dtrak_common", "pixel_cosine")
REMOVAL_QUERIES, RANDOM_SETS, NULL_MODELS = 4, 3, 2
TRAIN, QUERIES, TUNING = 60, 20, 5


def pictures(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """[count, 1, side, side] float32 in [-1, 1]: soft blobs at random places."""
    grid = np.arange(side)
    centre = rng.uniform(2, side - 2, (count, 2, 1, 1))
    distance = (grid[:, None] - centre[:, 0]) ** 2 + (grid[None] - centre[:, 1]) ** 2
    return (2 * np.exp(-distance / rng.uniform(1.5, 6, (count, 1, 1))) - 1)[:, None].astype(
        np.float32
    )


def own_transform(method: str) -> str:
    """The transform that a method calls its own."""
    return "square" if method.startswith("das") else "identity"


def lds_tables(names: list[str], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Summary, selection, comparisons and ceiling for the given methods."""
    summary: list[dict[str, Any]] = []
    selection: list[dict[str, Any]] = []
    for method in names:
        for transform in TRANSFORMS:
            for queries in ("val", "gen"):
                level = QUALITY.get(method, 0.1) * (1.2 if queries == "val" else 0.9)
                level *= 1.0 if transform == own_transform(method) else 0.8
                rows, choice = _rows(method, level, rng)
                key = {
                    "experiment": "made_up",
                    "method": method,
                    "transform": transform,
                    "queries": queries,
                }
                selection.append({**key, **choice})
                for target, factor in (("loss", 1.0), ("displacement", 0.7)):
                    for row in rows:
                        scaled = {name: row[name] * factor for name in ("lds", "lo", "hi")}
                        summary.append(
                            {
                                **key,
                                "target": target,
                                **row,
                                **scaled,
                                **_partial(method, scaled["lds"]),
                                "ceiling": 0.5,
                                **SIZES,
                                "own": transform == own_transform(method),
                            }
                        )
    return {
        "summary": pd.DataFrame(summary),
        "selection": pd.DataFrame(selection),
        "comparisons": _comparisons(names, rng),
        "ceiling": _ceiling(),
        "leverage": _leverage(names),
    }


def _point(method: str, damping: float) -> str:
    """The column ``parameters``."""
    if method == "floor":
        return '{"floor":"pixel_rbf","width":0.5}'
    return "{}" if np.isnan(damping) else f'{{"damping":{damping!r}}}'


def _partial(method: str, lds: float) -> dict[str, float]:
    """The columns of the partial LDS; that of the floor is undefined."""
    lost = SIZES["Q"] if method in ("floor", "class_match") else 0
    value = 0.0 if lost else 0.7 * lds - 0.01
    ends = {"partial_lo": value - 0.02 * (not lost), "partial_hi": value + 0.02 * (not lost)}
    columns = {"partial": value, **ends, "partial_undefined": lost}
    return columns | {k.replace("partial", "partial_class", 1): v for k, v in columns.items()}


def _rows(method: str, level: float, rng: np.random.Generator) -> tuple[list[dict], dict]:
    undefined = SIZES["Q"] if method == "class_match" else 3 if method == "pixel_dot" else 0
    if undefined == SIZES["Q"]:
        level = 0.0
    noise = float(rng.normal(0, 0.008)) if undefined < SIZES["Q"] else 0.0
    base = {"undefined": undefined, "edge": False}
    if method in UNDAMPED:
        lds = level + noise
        row = {
            **base,
            "selection": "held_out",
            "damping": np.nan,
            "lds": lds,
            "lo": lds - 0.025,
            "hi": lds + 0.03,
        }
        row["parameters"] = _point(method, np.nan)
        choice = {"damping": np.nan, "parameters": row["parameters"]}
        return [row], choice | {"lds": lds + 0.01, "edge": False}
    peak = float(rng.uniform(-6, -2))
    path = level * np.exp(-((np.log10(GRID) - peak) ** 2) / 12) + noise
    best = int(path.argmax())
    held = min(max(best + int(rng.integers(-3, 4)), 0), len(GRID) - 1)
    base["edge"] = method == "trak" or held in (0, len(GRID) - 1)
    rows = [
        {**base, "selection": "path", "damping": d, "lds": v, "lo": np.nan, "hi": np.nan}
        | {"parameters": _point(method, d)}
        for d, v in zip(GRID, path, strict=True)
    ]
    for name, i in (("held_out", held), ("oracle", best)):
        rows.append(
            {
                **base,
                "selection": name,
                "damping": GRID[i],
                "parameters": _point(method, GRID[i]),
                "lds": path[i],
                "lo": path[i] - 0.028,
                "hi": path[i] + 0.026,
            }
        )
    choice = {"damping": GRID[held], "parameters": _point(method, GRID[held])}
    return rows, choice | {"lds": path[held] + 0.012, "edge": base["edge"]}


def _comparisons(names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    primary = [
        ("das", "dtrak"),
        ("das", "trak"),
        ("das_common", "das"),
        ("das_common", "dtrak_common"),
        ("das", "floor"),
    ]
    pairs = [(a, b, "primary") for a, b in primary] + [("dtrak", "trak", "exploratory")]
    rows = []
    for a, b, kind in pairs:
        if a not in names or b not in names:
            continue
        for queries in ("val", "gen"):
            for target in ("loss", "displacement"):
                for selection in ("held_out", "oracle"):
                    difference = QUALITY[a] - QUALITY[b] + float(rng.normal(0, 0.01))
                    rows.append(
                        {
                            "experiment": "made_up",
                            "kind": kind if selection == "held_out" else "exploratory",
                            "a": a,
                            "b": b,
                            "transform_a": own_transform(a),
                            "transform_b": own_transform(b),
                            "queries": queries,
                            "target": target,
                            "selection": selection,
                            "difference": difference,
                            "lo": difference - 0.021,
                            "hi": difference + 0.02,
                            "detectable": 0.029,
                            "fixed": "on 2026-11-30, late" if b == "floor" else "",
                        }
                    )
    return pd.DataFrame(rows)


def _ceiling() -> pd.DataFrame:
    rows = []
    for queries, low in (("val", 0.31), ("gen", 0.27)):
        for target, factor in (("loss", 1.0), ("displacement", 1.3)):
            value = factor * (low + 0.06)
            rho = value**2
            rows.append(
                {
                    "experiment": "made_up",
                    "queries": queries,
                    "target": target,
                    "reliability": rho / (2 - rho),
                    "rho": rho,
                    "ceiling": value,
                    "lo": factor * low,
                    "hi": factor * (low + 0.11),
                    **SIZES,
                }
            )
    return pd.DataFrame(rows)


def _leverage(names: list[str]) -> pd.DataFrame:
    rows = []
    for i, method in enumerate(name for name in names if name not in UNDAMPED):
        for queries, damping in (("val", 2e-4), ("gen", 5e-3)):
            low = 1 / (2 + i + 400 * damping)
            levels = {"q50": low, "q90": low**0.5, "q99": low**0.1, "max": low**0.01}
            key = {"experiment": "made_up", "method": method, "queries": queries}
            rows.append({**key, "damping": damping, **levels})
    columns = ["experiment", "method", "queries", "damping", "q50", "q90", "q99", "max"]
    return pd.DataFrame(rows, columns=columns)


def removal_tables(
    names: list[str], ks: list[int], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summary and per-query table of the removal experiment."""
    rows = []
    for k in ks:
        for method in (*names, "random"):
            for s in range(RANDOM_SETS if method == "random" else 1):
                for query in range(REMOVAL_QUERIES):
                    strength = QUALITY.get(method, 0.0) * k / 100
                    rows.append(
                        {
                            "method": method,
                            "k": k,
                            "query": query,
                            "set": s if method == "random" else np.nan,
                            "loss_change": 0.004 + 0.05 * strength + float(rng.normal(0, 0.002)),
                            "image_l2": 2.0 + 4 * strength + float(rng.normal(0, 0.3)),
                            "embedding_cosine": np.nan,
                        }
                    )
    for s in range(NULL_MODELS):
        for query in range(REMOVAL_QUERIES):
            rows.append(
                {
                    "method": "null",
                    "k": np.nan,
                    "query": query,
                    "set": s,
                    "loss_change": float(rng.normal(0, 0.001)),
                    "image_l2": 1.6 + float(rng.normal(0, 0.2)),
                    "embedding_cosine": np.nan,
                }
            )
    per_query = pd.DataFrame(rows)
    return _removal_summary(per_query, ks), per_query


def _removal_summary(per_query: pd.DataFrame, ks: list[int]) -> pd.DataFrame:
    rows = []
    for k in ks:
        for measure in ("loss_change", "image_l2", "embedding_cosine"):
            at_k = per_query[(per_query.k == k) | (per_query.method == "null")]
            means = at_k.groupby("method")[measure].mean()
            for method, mean in means.items():
                excess = mean - means["random"]
                half = 0.3 * abs(excess) + 0.1 * abs(mean)
                judged = method != "random"
                rows.append(
                    {
                        "method": method,
                        "k": k,
                        "measure": measure,
                        "mean": mean,
                        "excess": excess if judged else np.nan,
                        "lo": excess - half if judged else np.nan,
                        "hi": excess + half if judged else np.nan,
                        "queries": REMOVAL_QUERIES,
                        "sets": RANDOM_SETS,
                    }
                )
    return pd.DataFrame(rows)


def settings(names: list[str]) -> dict[str, Any]:
    """Resolved settings as the report gets them."""
    return {
        "title": "Made-up blobs, 8×8",
        "seed": 0,
        "data": {"dataset": "blobs", "classes": "all", "train": TRAIN},
        "model": {
            "family": "pixel",
            "block_out_channels": [16, 32],
            "layers_per_block": 1,
            "norm_num_groups": 8,
        },
        "diffusion": {"timesteps": 1000, "beta_schedule": "linear", "prediction_type": "epsilon"},
        "training": {
            "epochs": 60,
            "batch_size": 64,
            "learning_rate": 0.001,
            "flip": False,
            "ema_decay": 0.99,
        },
        "subsets": {"fraction": 0.5, "stratify": False, "eval": {"models": 64, "seeds": 2}},
        "queries": {"val": QUERIES, "gen": QUERIES, "tuning": TUNING, "sampling_steps": 50},
        "methods": {name: {} for name in names},
        "lds": {"draws": 2000, "level": 0.95},
    }


def make(
    root: Path, names: list[str] | None = None, ks: list[int] | None = None, seed: int = 0
) -> Path:
    """Write the folder.

    Args:
        root: Where; made if need be.
        names: Methods, all known ones by default; unknown names are welcome.
        ks: Sizes of the removed sets.
        seed: Of the made-up numbers.

    Returns:
        ``root``.
    """
    rng = np.random.default_rng(seed)
    names, ks = names or list(QUALITY), ks or [100]
    for name, table in lds_tables(names, rng).items():
        tables.save_table(root / f"lds/{name}.csv", table)
    judged = [name for name in REMOVAL if name in names] or names[:2]
    summary, per_query = removal_tables(judged, ks, rng)
    tables.save_table(root / "removal/summary.csv", summary)
    tables.save_table(root / "removal/per_query.parquet", per_query)
    shown = per_query.drop_duplicates(["method", "k", "query"])[["method", "k", "query", "set"]]
    shown.insert(0, "row", range(len(shown)))
    tables.save_table(root / "removal/images.csv", shown)
    artifacts.save_array(root / "removal/images.npy", pictures(len(shown), 8, rng))
    for kind in ("val", "gen"):
        artifacts.save_array(root / f"queries/{kind}.npy", pictures(QUERIES, 8, rng))
        for name in names:
            scores = rng.normal(size=(TRAIN, QUERIES)).astype(np.float32)
            artifacts.save_array(root / f"scores/{name}/{kind}.npy", scores)
    train = np.moveaxis((pictures(TRAIN, 8, rng) + 1) * 127.5, 1, -1).astype(np.uint8)
    artifacts.save_examples(
        root / "examples/train.npz", train, np.arange(TRAIN) % 10, np.arange(TRAIN)
    )
    artifacts.save_array(
        root / "queries/gen_labels.npy", (np.arange(QUERIES) % 10).astype(np.int64)
    )
    studies = synthetic_studies.tables(names, QUALITY) | synthetic_groups.tables(names, QUALITY)
    for file, table in studies.items():
        tables.save_table(root / file, table)
    artifacts.save_json(root / "cost-speedup.json", {"reference": names[-1]})
    artifacts.save_json(root / "metrics.json", {"base_loss_val": 0.0712, "lds_das_gen": 0.162})
    return root
