"""Images from the same initial noise, of models retrained without a method's top images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dasbench.errors import UserError
from dasbench.reports.figures import style
from dasbench.reports.figures.canvas import Canvas, displayable

COLUMNS = ("row", "method", "k", "query", "set")
REFERENCES = ("random", "null")
_LINE = 0.17  # inches under an image for its distance
_HEAD = 0.5
_LEFT = 0.62
_GAP = 0.06


@style.styled
def grid(  # noqa: PLR0913 - one argument per artifact
    base: np.ndarray,
    images: np.ndarray,
    index: pd.DataFrame,
    titles: Sequence[str],
    *,
    per_query: pd.DataFrame | None = None,
    k: int | None = None,
    families: Mapping[str, str] | None = None,
) -> Figure:
    """One row per query: the base model's image, then the image after each kind of removal.

    Args:
        base: [removal queries, C, H, W] float32, the base model's images.
        images: [rows, C, H, W] float32, as ``removal/images.npy``.
        index: ``removal/images.csv``: row, method, k, query, set. For random and null, the first
            set is shown.
        titles: A name per query.
        per_query: ``removal/per_query.parquet``; its ``image_l2`` is written under each image.
        k: Number of removed images; None for the largest in ``index``.
        families: method -> family, for methods that the registry does not have.

    Raises:
        UserError: If the table lacks columns, names rows that do not exist, or has none for k.
    """
    style.require(index, COLUMNS, "removal/images.csv")
    if not index.row.between(0, len(images) - 1).all():
        raise UserError(
            f"removal/images.csv names rows beyond the {len(images)} images of removal/images.npy: "
            "remake both in one run"
        )
    methods = index[~index.method.isin((*REFERENCES, "base"))]
    style.require(methods, COLUMNS, "removal/images.csv, methods other than random and null,")
    k = int(methods.k.max()) if k is None else k
    at_k = index[(index.k == k) | (index.method == "null")]
    names = [name for name in methods.method.unique() if (at_k.method == name).any()]
    if not names:
        raise UserError(
            f"removal/images.csv has no images for k = {k}: choose one of {sorted(set(methods.k))}"
        )
    columns = [*names, *(name for name in REFERENCES if (at_k.method == name).any())]
    size = min((style.WIDTH - _LEFT - 0.3) / (1 + len(columns)) - _GAP, 1.1)
    width = _LEFT + 0.3 + (1 + len(columns)) * (size + _GAP)
    sheet = Canvas(width, _HEAD + len(base) * (size + _LINE) + 0.02)
    sheet.text(
        _LEFT, 0.18, f"k = {k:g} removed, each from the same initial noise", size=9, weight="bold"
    )
    for query, pixels in enumerate(displayable(base)):
        y = _HEAD + query * (size + _LINE)
        sheet.text(
            _LEFT - 0.08,
            y + size / 2,
            titles[query],
            size=7,
            ha="right",
            va="center",
            color=style.MUTED,
        )
        sheet.image(pixels, _LEFT, y, size, edge=style.INK)
    sheet.text(_LEFT, _HEAD - 0.07, "base model", size=7, color=style.INK)
    for c, name in enumerate(columns):
        x = _LEFT + 0.15 + (c + 1) * (size + _GAP) + (0.15 if name in REFERENCES else 0)
        points = min(7.0, 7.0 * 17 * size / max(len(name), 1))
        sheet.text(x, _HEAD - 0.07, name, size=points, color=style.look(name, families).colour)
        _column(sheet, images, at_k[at_k.method == name], per_query, (x, size))
    return sheet.figure


def _column(
    sheet: Canvas,
    images: np.ndarray,
    index: pd.DataFrame,
    per_query: pd.DataFrame | None,
    place: tuple[float, float],
) -> None:
    x, size = place
    shown = index.sort_values(["query", "set"]).drop_duplicates("query")
    for row in shown.itertuples():
        y = _HEAD + row.query * (size + _LINE)
        sheet.image(displayable(images[row.row]), x, y, size)
        distance = _distance(per_query, row)
        if distance is not None:
            sheet.text(
                x + size / 2,
                y + size + 0.1,
                f"{distance:.2f}",
                size=5.8,
                ha="center",
                color=style.MUTED,
            )


def _distance(per_query: pd.DataFrame | None, row: object) -> float | None:
    if per_query is None:
        return None
    same = (per_query.method == row.method) & (per_query["query"] == row.query)
    if row.method != "null":
        same &= per_query.k == row.k
    if row.method in REFERENCES:
        same &= per_query["set"] == row.set
    values = per_query[same].image_l2.dropna()
    return float(values.iloc[0]) if len(values) else None
