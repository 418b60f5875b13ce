"""One HTML page that shows an answer: the images that were asked about, and their training images.

The page loads nothing: pictures are inside it, each one once, and its policy (CSP) forbids requests
and all scripts but its own. Everything is in the HTML; the script only chooses what is visible. So
without the script, and in print, the page shows every image. Equal answers make equal pages.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup, escape

from dasbench.attribution.answer import Answer, Picture
from dasbench.core import arguments
from dasbench.core.writing import write_text
from dasbench.errors import UserError
from dasbench.reports import answer_charts as charts
from dasbench.reports import answer_words as words
from dasbench.reports import pages, thumbnails

LIMIT = 15_000_000  # bytes of a page
PIXELATED = 64  # below this side in pixels, pictures are enlarged with sharp edges


def render(answer: Answer, path: Path, top: int = 12) -> None:
    """Write the page.

    Args:
        answer: What to show.
        path: The file to write.
        top: Training images to list for each query and score.

    Raises:
        UserError: If ``top`` is no positive whole number, there is no query or no training image,
            the page would be too large, or the file cannot be written.
    """
    top = arguments.whole("top", top, 1)
    if not answer.queries or not answer.training:
        raise UserError(
            f"{len(answer.training)} training images and {len(answer.queries)} images to ask about "
            "make no answer: give at least one of each"
        )
    script, style = (
        (pages.TEMPLATES / f"answer.{suffix}").read_text("utf-8") for suffix in ("js", "css")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = pages.environment()
    environment.filters.update(
        line=words.line, sentence=words.sentence, counted=words.count, breakable=_breakable
    )
    content = _content(answer, Path(os.path.abspath(path)).parent, top)
    content |= {"script": Markup(script), "digest": digest, "style": Markup(style)}
    template = environment.get_template("answer.html.j2")

    def draw(room: int | None) -> str:
        return template.render(content | {"pictures": _pictures(answer, content["rows"], room)})

    bare = _size(draw(None), answer, top)
    text = draw(LIMIT - bare)
    _size(text, answer, top)
    write_text(path, text)


def _size(text: str, answer: Answer, top: int) -> int:
    """Bytes of a page; raises UserError if they are too many."""
    size = len(text.encode())
    if size > LIMIT:
        raise UserError(
            f"the page would have at least {math.ceil(size / 1e5) / 10:,} MB, expected at most "
            f"{LIMIT / 1e6:g} MB; ask about fewer images at once than {len(answer.queries):,}, or "
            f"list fewer training images than {top} by --top (top in Python); --csv FILE (frame() "
            "in Python) writes a table of any size"
        )
    return size


def _content(answer: Answer, folder: Path, top: int) -> dict[str, Any]:
    """What the template shows, apart from pictures, style and script."""
    shares = [answer.share(score) for score in answer.all_scores]
    queries = [_query(answer, folder, j, top, shares) for j in range(len(answer.queries))]
    panels = [panel for query in queries for panel in query["panels"]]
    evidence, checks = answer.evidence, answer.checks
    auc = None if evidence is None else evidence.auc
    unfair = [evidence.warning] if evidence and evidence.warning else []
    warnings = list(dict.fromkeys([*answer.warnings, *unfair]))
    return {
        "answer": answer,
        "queries": queries,
        "rows": sorted({card["row"] for p in panels for card in [*p["cards"], *p["further"]]}),
        "overview": words.overview(answer),
        "self_check": None if checks is None else words.self_check(checks),
        "failed_check": checks is not None and checks.share < 1,
        "comparison": None if auc is None else words.comparison(auc),
        "unfair": evidence is not None and evidence.warning is not None,
        "warnings": warnings,
        "decoys": 0 if evidence is None else len(evidence.decoys),
        "rate": f"{100 * words.RATE:g}{words.PERCENT}",
    }


def _pictures(answer: Answer, rows: list[int], room: int | None) -> list[dict[str, Any]]:
    """Training images and queries, in ``room`` characters together; without pixels if it is None.

    Args:
        answer: The answer.
        rows: Training images that the page shows.
        room: For all data URIs.
    """
    groups = [(answer.training_pixels, rows), (answer.query_pixels, range(len(answer.queries)))]
    if room is None:
        drawn = [[""] * len(places) for _, places in groups]
    else:
        drawn = thumbnails.fit(groups, room)
    return [
        _symbol(f"{letter}{place}", uri, pixels)
        for letter, (pixels, places), uris in zip("ta", groups, drawn, strict=True)
        for place, uri in zip(places, uris, strict=True)
    ]


def _symbol(name: str, uri: str, pixels: np.ndarray) -> dict[str, Any]:
    """A picture that the page holds once and draws wherever its name stands."""
    height, width = pixels.shape[1:3]
    sharp = max(height, width) < PIXELATED
    return {"id": name, "uri": uri, "width": width, "height": height, "sharp": sharp}


def _query(
    answer: Answer, folder: Path, j: int, top: int, shares: list[np.ndarray]
) -> dict[str, Any]:
    """The sentences, the lists of training images and the charts of query j."""
    orders = [answer.order(score, j, len(answer.training)) for score in answer.all_scores]
    ranks = [np.argsort(order) + 1 for order in orders]
    rows, evidence, further = orders[0][:top], answer.evidence, answer.further(j, top)
    listed = np.concatenate([rows, further[: words.MORE]])

    def cards(k: int, places: np.ndarray) -> list[dict[str, Any]]:
        return [_card(answer, folder, (k, j, int(row)), shares[k], ranks) for row in places]

    panels = [
        {
            "key": score.key,
            "title": score.title,
            "explanation": score.explanation,
            "agreement": words.agreement(score.title, orders[k][:top], rows),
            "cards": cards(k, orders[k][:top]),
            "further": cards(k, listed[len(rows) :]) if k == 0 else [],
        }
        for k, score in enumerate(answer.all_scores)
    ]
    return {
        **_named(answer.queries[j], folder),
        "headline": None if evidence is None else evidence.sentences[j],
        "listed_share": words.share(shares[0][rows, j].sum()),
        "found": 0 if evidence is None else int((evidence.q[:, j] <= words.RATE).sum()),
        "reach": None if evidence is None else words.reach(evidence.smallest[j]),
        "further": words.further(len(further), len(rows)) if len(further) else None,
        "highest": len(rows),
        "listed": len(listed),
        "panels": panels,
        "levels": _levels(answer, rows, j),
        "histogram": _histogram(answer, listed, j),
    }


def _card(
    answer: Answer,
    folder: Path,
    place: tuple[int, int, int],
    shares: np.ndarray,
    ranks: list[np.ndarray],
) -> dict[str, Any]:
    """One training image in one list.

    Args:
        answer: The answer.
        folder: Folder of the page.
        place: Number of the score, of the query and of the training image.
        shares: [N, Q] of this score.
        ranks: For each score, [N] ranks for this query.
    """
    k, j, row = place
    scores, evidence = answer.all_scores, answer.evidence if k == 0 else None
    ranking, top = k == 0, shares[:, j].max()
    return {
        **_named(answer.training[row], folder),
        "row": row,
        "rank": int(ranks[k][row]),
        "score": words.score(scores[k].values[row, j]),
        "share": words.share(shares[row, j]) if ranking else None,
        "of_top": round(float(shares[row, j] / top), 3) if top > 0 else 0,
        "levels": _levels(answer, np.array([row]), j) if ranking else None,
        "q": words.q_value(evidence.q[row, j]) if evidence else None,
        "stands_out": bool(evidence and evidence.q[row, j] <= words.RATE),
        "others": [(s.title, f"{ranks[n][row]:,}") for n, s in enumerate(scores) if n != k],
    }


def _named(picture: Picture, folder: Path) -> dict[str, Any]:
    """Name, label and address of a picture."""
    return {
        "name": words.line(picture.name),
        "label": None if picture.label is None else words.line(picture.label),
        "href": None if picture.path is None else link(picture.path, folder),
    }


def _breakable(name: str) -> Markup:
    """A name that a browser may break after a slash."""
    return Markup("/<wbr>").join(escape(part) for part in name.split("/"))


def link(path: str, folder: Path) -> str:
    """The address of a file for a page in ``folder``.

    It is relative if the two share a folder below the root, so that both can be moved together.

    Args:
        path: Absolute path.
        folder: Absolute path.
    """
    shared = os.path.commonpath([path, folder])
    if shared == os.path.dirname(shared):
        return Path(path).as_uri()
    return quote(os.fsencode(os.path.relpath(path, folder)))


def _levels(answer: Answer, rows: np.ndarray, j: int) -> dict[str, Any] | None:
    """Where in the noise levels the influence of some training images on query j lies."""
    parts = [answer.timesteps_of(int(row), j) for row in rows]
    if any(part is None for part in parts):
        return None
    weights = np.abs(np.nan_to_num(np.asarray(parts, np.float64))).sum(axis=0)
    most = weights.max()
    return {
        "bars": charts.bars(weights / (most if most > 0 else 1)),
        "words": words.noise(weights),
        "high": words.share(words.noisier_half(weights)),
    }


def _histogram(answer: Answer, rows: np.ndarray, j: int) -> charts.Histogram | None:
    """Training images against decoys for query j; None if there is nothing to compare."""
    if answer.evidence is None:
        return None
    training, decoys = answer.evidence.training[:, j], answer.evidence.decoys[:, j]
    if not (np.isfinite(training).any() and np.isfinite(decoys).any()):
        return None
    return charts.histogram(training, decoys, rows)
