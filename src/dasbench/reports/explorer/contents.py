"""What the explorer of a report holds: pictures, lists of training images, judgements per query.

The page's script reads this as JSON. Positions in the lists count the pictures on the page, not the
training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dasbench.core.artifacts import Examples
from dasbench.reports import thumbnails
from dasbench.reports.explorer import extremes

IMAGES = 2_000  # training images on a page, at most
BUDGET = 8_000_000  # characters of all pictures together
DIGITS = 3  # significant digits of scores
SIDE = 32  # of images in this check, in pixels
COMPARED, NOISE = 1_000, 100  # images in the check of the samples, at most, and images of noise


@dataclass(frozen=True)
class Queries:
    """All queries of one kind.

    Attributes:
        images: [Q, C, H, W] float32 in [-1, 1].
        labels: [Q] int64.
    """

    images: np.ndarray
    labels: np.ndarray


def contents(
    listed: pd.DataFrame,
    training: Examples,
    queries: Mapping[str, Queries],
    correlations: pd.DataFrame | None = None,
    removed: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Gather what the explorer shows.

    Args:
        listed: Rows of ``extremes.table`` with the columns ``queries`` and ``method``.
        training: The N training images.
        queries: Kind -> queries.
        correlations: Rows of ``lds/per_query.parquet``, one transform for each method; None if
            nothing was judged.
        removed: ``removal/per_query.parquet``; None without a removal experiment.

    Returns:
        A value for JSON: ``training`` (labels, ids, pictures), ``kinds`` (kind -> queries,
        labels, pictures, lists {method: rows, scores}, lds {method: values}, removal {query:
        rows}), ``highest`` (length of the lists of the highest scores).
    """
    listed = extremes.fitting(listed, IMAGES)
    rows = np.unique(listed["row"])
    shown = {kind: part["query"].unique() for kind, part in listed.groupby("queries", sort=False)}
    pictures = thumbnails.fit(
        [
            (training.images, rows),
            *((_bytes(queries[kind].images), numbers) for kind, numbers in shown.items()),
        ],
        BUDGET,
    )
    kinds = {}
    for kind, uris in zip(shown, pictures[1:], strict=True):
        numbers, part = shown[kind].tolist(), listed[listed["queries"] == kind]
        kinds[kind] = {
            "queries": numbers,
            "labels": queries[kind].labels[numbers].tolist(),
            "pictures": uris,
            "lists": {name: _lists(one, rows) for name, one in part.groupby("method", sort=False)},
            "lds": _correlations(correlations, kind, numbers),
            "removal": _removed(removed, numbers) if kind == "gen" else {},
        }
    return {
        "training": {
            "labels": training.labels[rows].tolist(),
            "ids": training.ids[rows].tolist(),
            "pictures": pictures[0],
        },
        "kinds": kinds,
        "highest": int(listed["place"].max()),
    }


def _bytes(images: np.ndarray) -> np.ndarray:
    """[Q, C, H, W] in [-1, 1] -> [Q, H, W, C] uint8."""
    pixels = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    return pixels.transpose(0, 2, 3, 1)


def _lists(part: pd.DataFrame, rows: np.ndarray) -> dict[str, Any]:
    """One method's lists, one line for each query."""
    width = part["place"].nunique()
    places = np.searchsorted(rows, part["row"]).reshape(-1, width)
    scores = [
        [_short(score) for score in line] for line in part["score"].to_numpy().reshape(-1, width)
    ]
    return {"rows": places.tolist(), "scores": scores}


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _correlations(
    table: pd.DataFrame | None, kind: str, numbers: list[int]
) -> dict[str, list[float | None]]:
    """Method -> its rank correlation with the retrained models for each query, times 100."""
    if table is None:
        return {}
    chosen = table[
        (table["queries"] == kind)
        & (table["target"] == "loss")
        & (table["selection"] == "held_out")
    ]
    wide = chosen.pivot(index="query", columns="method", values="lds").reindex(numbers)
    return {
        method: [None if np.isnan(value) else round(100 * value, 1) for value in wide[method]]
        for method in wide
    }


def _removed(table: pd.DataFrame | None, numbers: list[int]) -> dict[str, list[dict[str, Any]]]:
    """Query -> what retraining without the images that a method ranks highest did to it.

    Arms ``bottom-METHOD``, without the lowest images, are left out.

    Each row has method, k, and for each measure its value and its mean over random sets of k.
    """
    if table is None:
        return {}
    measures = [name for name in ("loss_change", "image_l2") if name in table]
    means = table.groupby(["query", "method", "k"], sort=False)[measures].mean()
    found: dict[str, list[dict[str, Any]]] = {}
    for (query, method, k), values in means.iterrows():
        chance = ("random", k)
        if (
            method in ("random", "null")
            or method.startswith("bottom-")
            or query not in numbers
            or (query, *chance) not in means.index
        ):
            continue
        random = means.loc[(query, *chance)]
        row = {"method": method, "k": int(k)}
        row |= {name: [_short(values[name]), _short(random[name])] for name in measures}
        found.setdefault(str(query), []).append(row)
    return found


def noisiness(generated: np.ndarray, training: np.ndarray) -> float:
    """Where generated images lie between the training images (0) and random noise (1).

    The place follows from the median distance to the nearest training image: for generated images,
    for training images (each compared with the others), and for normal noise. Images of a model
    that learned little lie near 1.

    Args:
        generated: [Q, C, H, W] float32 in [-1, 1].
        training: [N, H, W, C] uint8; of more than 1000, those at even distances are taken.

    Returns:
        The place; NaN if noise lies no farther from the training images than these from each other.
    """
    from scipy.spatial.distance import cdist

    noise = np.random.default_rng(0).normal(size=(NOISE, *generated.shape[1:]))
    known, made, random = map(_flat, (training, _bytes(generated), _bytes(noise)))
    among = cdist(known, known)
    np.fill_diagonal(among, np.inf)
    near, here, far = (
        np.median(distances.min(axis=1))
        for distances in (among, cdist(made, known), cdist(random, known))
    )
    return float((here - near) / (far - near)) if far > near else float("nan")


def _flat(pixels: np.ndarray) -> np.ndarray:
    """[n, H, W, C] uint8 -> [at most 1000, d] float32 in [-1, 1]; large images are thinned out."""
    chosen = np.linspace(0, len(pixels) - 1, min(len(pixels), COMPARED)).astype(int)
    step = max(1, -(-max(pixels.shape[1:3]) // SIDE))
    thinned = pixels[chosen, ::step, ::step]
    return thinned.reshape(len(chosen), -1).astype(np.float32) / 127.5 - 1
