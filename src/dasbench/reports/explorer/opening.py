"""The first lines of a report: three sentences, each supported by an interval, and warnings.

A sentence says that one method is above another only if the interval of their paired difference
excludes 0 and the comparison was fixed in the experiment file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dasbench.reports import pages
from dasbench.reports.method_families import family
from dasbench.reports.pages import KINDS

MOST = 3  # pairs of methods in a sentence
NOISY = 0.6  # place between training images (0) and noise (1) from which samples count as noise


def sentences(
    headline: Sequence[Mapping[str, Any]],
    primary: Sequence[Mapping[str, Any]],
    floor: str | None = None,
    elsewhere: str = "",
) -> list[str]:
    """The three sentences, as texts in which `x` marks a name.

    Args:
        headline: Rows of ``report.headline`` for the loss.
        primary: Primary rows of ``comparisons.rows``.
        floor: The method that selects the best tuned similarity; None without one.
        elsewhere: What judges the primary comparisons if not the LDS: "removal", "groups".
    """
    loss = [row for row in primary if row["target"] == "loss"]
    return [
        _against_floor(headline, loss, floor),
        _level(headline),
        _decided(loss, floor, elsewhere),
    ]


def _against_floor(
    headline: Sequence[Mapping[str, Any]], loss: Sequence[Mapping[str, Any]], floor: str | None
) -> str:
    """The best score that was compared with the best tuned similarity, and what came out."""
    place = {row["method"]: i for i, row in enumerate(headline)}
    if floor not in place:
        return "No tuned similarity of images was judged here, so a baseline is missing."
    turned = [_turned(row) if row["a"] == floor else row for row in loss]
    pairs = [
        row
        for row in turned
        if row["b"] == floor and row["a"] in place and family(row["a"]) != "similarity"
    ]
    if not pairs:
        return "The experiment file plans no comparison of an attribution score with similarity."
    method = min((row["a"] for row in pairs), key=place.__getitem__)
    pairs = [row for row in pairs if row["a"] == method]
    above = [row for row in pairs if row["lo"] > 0]
    below = [row for row in pairs if row["hi"] < 0]
    unclear = [row for row in pairs if not row["resolved"]]
    scores = [row["method"] for row in headline if not row["control"]]
    scores = [name for name in scores if family(name) != "similarity"]
    rank = (
        "the best attribution score" if scores[0] == method else "the best score compared with it"
    )
    similarity = "the best tuned similarity of images"
    if not above and not below:
        text = (
            f"No difference is resolved between `{method}`, {rank}, and {similarity}: "
            f"{_listed(unclear)}"
        )
    else:
        parts = [f"is above {similarity}: {_listed(above)}"] * bool(above)
        parts += [f"is below {similarity}: {_listed(below)}"] * bool(below)
        parts += [f"the difference is not resolved: {_listed(unclear)}"] * bool(unclear)
        text = f"`{method}`, {rank}, {'; '.join(parts)}"
    return f"{text} (points of LDS × 100)."


def _turned(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same comparison, with both methods in each other's place."""
    turned = {"a": row["b"], "b": row["a"], "lo": -row["hi"], "hi": -row["lo"]}
    return {**row, **turned, "difference": -row["difference"]}


def _listed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Differences with intervals, one for each kind of query."""
    return ", ".join(
        f"{pages.percent(row['difference'], 1, True)} {_interval(row)} on {KINDS[row['queries']]}"
        for row in rows
    )


def _interval(row: Mapping[str, Any]) -> str:
    return f"({pages.percent(row['lo'])} to {pages.percent(row['hi'])})"


def _level(headline: Sequence[Mapping[str, Any]]) -> str:
    """The highest LDS of each kind, beside chance and the ceiling."""
    parts = []
    for kind, where in KINDS.items():
        judged = [row for row in headline if kind in row["cells"] and not row["control"]]
        if not judged:
            continue
        top = max(judged, key=lambda row: row["cells"][kind]["lds"])
        cell = top["cells"][kind]
        share = cell["fraction"]
        of = "" if share is None else f", {pages.percent(share, 0)} % of the ceiling"
        chance = ", not resolved from chance" if cell["lo"] <= 0 <= cell["hi"] else ""
        parts.append(
            f"{pages.percent(cell['lds'])} {_interval(cell)} on {where} "
            f"(`{top['method']}`{of}{chance})"
        )
    if not parts:
        return "No method but the controls was judged."
    return "The highest LDS is " + " and ".join(parts) + "; 0 is chance."


def _decided(loss: Sequence[Mapping[str, Any]], floor: str | None, elsewhere: str) -> str:
    """The primary comparisons of attribution scores that are resolved on every kind of query."""
    if not loss:
        if elsewhere:
            return f"The primary comparisons of this experiment are judged by {elsewhere}."
        return "The experiment file plans no comparison, so this page names no winner."
    if not any(row["resolved"] for row in loss):
        return (
            f"Nothing is resolved: the intervals of all {len(loss)} primary comparisons contain 0."
        )
    kinds = {row["queries"] for row in loss}
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in loss:
        if floor not in (row["a"], row["b"]):
            pairs.setdefault((row["a"], row["b"]), []).append(row)
    same = {
        pair: rows
        for pair, rows in pairs.items()
        if {row["queries"] for row in rows} == kinds
        and all(row["resolved"] and (row["lo"] > 0) == (rows[0]["lo"] > 0) for row in rows)
    }
    if not same:
        return (
            "No primary comparison of two attribution scores is resolved on all kinds of queries."
        )
    words = [_ordered(pair, rows) for pair, rows in same.items()]
    more = f"; the table below has {len(words) - MOST} more" if len(words) > MOST else ""
    return f"Resolved: {'; '.join(words[:MOST])}{more}."


def _ordered(pair: tuple[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A pair with the higher method first, and by how much, for each kind of query."""
    higher, lower = pair if rows[0]["lo"] > 0 else reversed(pair)
    sign = 1 if rows[0]["lo"] > 0 else -1
    parts = []
    for row in rows:
        ends = sorted(sign * row[end] for end in ("lo", "hi"))
        interval = _interval({"lo": ends[0], "hi": ends[1]})
        size = pages.percent(sign * row["difference"])
        parts.append(f"{size} {interval} on {KINDS[row['queries']]}")
    return f"`{higher}` is above `{lower}` by {' and '.join(parts)}"


def warnings(name: str, settings: Mapping[str, Any], noisiness: float | None) -> list[str]:
    """Why the numbers of a page must not be taken for results.

    Args:
        name: The experiment.
        settings: The resolved experiment file.
        noisiness: From ``contents.noisiness``; None if it was not measured.
    """
    found = []
    if name == "smoke" or name.startswith("debug_") or settings.get("debug_of"):
        found.append("This run tests the software: its models are too small for results.")
    if noisiness is not None and noisiness > NOISY:
        found.append(
            f"The generated images look like noise: they lie {min(noisiness, 1):.0%} of the way "
            "from the training images to random pixels. The model learned little, so the numbers "
            "of generated images mean nothing, and those of held-out images little."
        )
    return found
