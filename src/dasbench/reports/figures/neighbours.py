"""The training images with the highest scores for a query, by each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from dasbench.core.artifacts import Examples
from dasbench.errors import UserError
from dasbench.reports.figures import style
from dasbench.reports.figures.canvas import Canvas, displayable

_NAMES = 0.98  # inches for the names of the methods
_QUERY = 0.82  # inches for the query's image
_LINE = 0.13  # inches under an image, for its label
_TITLE = 0.3
_MARGIN = 0.3  # inches between two blocks


def top(scores: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """Indices of the highest-scored examples, ties by id (the rule of the removal experiment).

    Args:
        scores: [N].
        ids: [N], unique.
        count: Number of indices.
    """
    return np.lexsort((ids, -scores))[:count]


@style.styled
def rows(  # noqa: PLR0913 - one argument per artifact
    queries: np.ndarray,
    examples: Examples,
    scores: Mapping[str, np.ndarray],
    chosen: Sequence[int],
    kind: str,
    *,
    count: int = 8,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    families: Mapping[str, str] | None = None,
) -> Figure:
    """One block per query: the query, and a row of its highest-scored examples per method.

    Under each image are its label and a bar: its score relative to the first score of the row.

    Args:
        queries: [Q, C, H, W] float32 in [-1, 1].
        examples: The N training examples.
        scores: Per method [N, Q] float32, higher is more helpful.
        chosen: Positions of the shown queries along Q.
        kind: ``val`` or ``gen``, for the titles.
        count: Images in a row.
        labels: [Q] label of each query, or None.
        classes: Name of each label; numbers if None.
        families: method -> family, for methods that the registry does not have.

    Raises:
        UserError: If a score matrix does not fit, or a query is out of range.
    """
    _check(queries, examples, scores, chosen)
    width = style.WIDTH
    block = (width - _MARGIN) / 2
    size = (block - _QUERY - 0.12 - _NAMES) / count - 0.04
    height = _TITLE + max(len(scores) * (size + _LINE), _QUERY + _LINE) + 0.14
    sheet = Canvas(width, height * -(-len(chosen) // 2))
    pictures = displayable(queries[list(chosen)])
    names = {
        int(n): str(classes[int(n)]) if classes else str(int(n)) for n in np.unique(examples.labels)
    }
    for i, query in enumerate(chosen):
        x, y = (i % 2) * (block + _MARGIN), (i // 2) * height
        label = None if labels is None else int(labels[query])
        suffix = "" if label is None else f", label {names.get(label, label)}"
        sheet.text(x + 0.02, y + 0.17, f"{kind} query {query}{suffix}", size=9, weight="bold")
        sheet.image(pictures[i], x + 0.02, y + _TITLE, _QUERY - 0.04, edge=style.MUTED)
        for rank in range(count):
            middle = x + _QUERY + 0.12 + _NAMES + rank * (size + 0.04) + size / 2
            sheet.text(
                middle, y + _TITLE - 0.04, str(rank + 1), size=5.2, ha="center", color=style.FAINT
            )
        for r, (method, matrix) in enumerate(scores.items()):
            left, level = x + _QUERY + 0.12, y + _TITLE + r * (size + _LINE)
            colour = style.look(method, families).colour
            # names of twenty letters still fit their column
            points = min(7.5, 7.5 * 14 / max(len(method), 1))
            sheet.text(left, level + size / 2, method, size=points, color=colour, va="center")
            _row(
                sheet,
                examples,
                matrix[:, query],
                (left + _NAMES, level, size),
                count=count,
                label=label,
                names=names,
                colour=colour,
            )
    return sheet.figure


def _row(  # noqa: PLR0913
    sheet: Canvas,
    examples: Examples,
    scores: np.ndarray,
    place: tuple[float, float, float],
    *,
    count: int,
    label: int | None,
    names: Mapping[int, str],
    colour: str,
) -> None:
    x, y, size = place
    best = top(scores, examples.ids, count)
    first = float(scores[best[0]])
    for rank, index in enumerate(best):
        left = x + rank * (size + 0.04)
        sheet.image(displayable(examples.images[index]), left, y, size)
        share = float(np.clip(scores[index] / first, 0, 1)) if first > 0 else 0.0
        sheet.bar(left, y + size + 0.015, share * size, 0.018, style.tint(colour, 0.3))
        example_label = int(examples.labels[index])
        other = label is not None and example_label != label
        sheet.text(
            left + size / 2,
            y + size + 0.105,
            names[example_label],
            size=5.2,
            ha="center",
            color=style.INK if other else style.MUTED,
            weight="bold" if other else "normal",
        )


def _check(
    queries: np.ndarray, examples: Examples, scores: Mapping[str, np.ndarray], shown: Sequence[int]
) -> None:
    expected = (len(examples.ids), len(queries))
    for method, matrix in scores.items():
        if matrix.shape != expected:
            raise UserError(
                f"the scores of {method} have shape {matrix.shape}, expected {expected} "
                "(training examples, queries): make them for this experiment's examples and queries"
            )
    outside = [query for query in shown if not 0 <= query < len(queries)]
    if outside:
        raise UserError(
            f"queries {outside} do not exist, there are {len(queries)}: ask for fewer in the report"
        )
