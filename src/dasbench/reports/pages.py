"""Self-contained HTML pages: template engine, figures as data URIs, formats of numbers.

The engine escapes all values (names, labels, licences). A page loads nothing from the network.
A missing number is written as an en dash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from dasbench.core import artifacts
from dasbench.errors import UserError
from dasbench.experiments.figure_rows import Figure
from dasbench.experiments.figure_table import FIGURES, SECTIONS
from dasbench.reports import definitions

TEMPLATES = Path(__file__).parent / "templates"
VENDOR = Path(__file__).parent / "vendor"
LIBRARIES = (
    "vega",
    "vega-lite",
    "vega-embed",
    "sortable",
)  # in the order in which a page runs them
NOTHING = "–"
KINDS = {"val": "held-out images", "gen": "generated images"}
_LARGE_SVG = 1_000_000  # bytes; for a larger one the PNG of the figure is taken


def environment() -> Any:
    """The template engine; it escapes all values, and an unknown name is an error."""
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        percent=percent,
        interval=interval,
        number=number,
        magnitude=magnitude,
        plain=plain,
        parameters=parameters,
        linked=definitions.linked,
        unmarked=definitions.plain,
    )
    return env


def scripted(data: Any) -> dict[str, Any]:
    """The scripts of a page, its data, and the policy (CSP) that allows these scripts alone.

    Args:
        data: A value for JSON, without NaN.

    Returns:
        ``data`` as JSON that cannot end the element it stands in, ``scripts`` and ``policy``.
    """
    sources = [
        *((VENDOR / f"{name}.min.js").read_text("utf-8") for name in LIBRARIES),
        (TEMPLATES / "report/report.js").read_text("utf-8"),
    ]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in sources]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return {
        "data": htmlsafe_json_dumps(
            data, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ),
        "scripts": [Markup(text) for text in sources],
        "policy": "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src {allowed}",
    }


def self_checks(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Training images that were asked about themselves, one row for each method.

    Args:
        paths: ``scores/<method>/self_check.json``.

    Returns:
        Rows with method, count (checked images), top (those that come first in their own answer),
        and ranks (of the others, ascending).
    """
    rows = []
    for path in paths:
        ranks = artifacts.load_json(path)["ranks"]
        below = sorted(rank for rank in ranks if rank > 1)
        top = len(ranks) - len(below)
        rows.append({"method": path.parent.name, "count": len(ranks), "top": top, "ranks": below})
    return rows


def figures(paths: Iterable[Path]) -> dict[str, list[dict[str, str]]]:
    """Figures as data URIs, with the texts from the table of figures.

    If a figure is there as SVG and PNG, the SVG is taken, unless it is very large.

    Returns:
        section -> its figures in the order of the table, each with stem, uri, alt and caption.
        Figures that the table does not know or gives no section are in the section "other".

    Raises:
        UserError: If a file is missing or neither SVG nor PNG.
    """
    by_stem: dict[str, dict[str, bytes]] = {}
    for path in map(Path, paths):
        if path.suffix not in (".svg", ".png"):
            raise UserError(
                f"the report shows .svg and .png figures, not {path}: save it as one of them"
            )
        if not path.is_file():
            raise UserError(f"the figure {path} is missing: draw it before rendering the report")
        by_stem.setdefault(path.stem, {})[path.suffix] = path.read_bytes()
    placed: dict[str, list[dict[str, str]]] = {name: [] for name in (*SECTIONS, "other")}
    unknown = [Figure(stem, "", stem, stem) for stem in by_stem if stem not in FIGURES]
    for figure in (*FIGURES.values(), *unknown):
        if forms := by_stem.get(figure.stem):
            shown = {"stem": figure.stem, "alt": figure.alt, "caption": figure.caption}
            placed[figure.section or "other"].append({**shown, "uri": _data_uri(forms)})
    return placed


def _data_uri(forms: Mapping[str, bytes]) -> str:
    """Data URI of one figure; ``forms`` is suffix -> content."""
    large = len(forms.get(".svg", b"")) > _LARGE_SVG and ".png" in forms
    suffix = ".png" if large or ".svg" not in forms else ".svg"
    mime = "image/svg+xml" if suffix == ".svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(forms[suffix]).decode()}"


def missing(value: Any) -> bool:
    """Whether a number is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A fraction times 100, with a typographic minus sign; an en dash for None or NaN."""
    if missing(value):
        return NOTHING
    return number(100 * value, digits, sign)


def interval(lo: float | None, hi: float | None, digits: int = 1, scale: float = 100) -> str:
    """``[lo, hi]``, times ``scale``."""
    if missing(lo) or missing(hi):
        return NOTHING
    return _minus(f"[{scale * lo:.{digits}f}, {scale * hi:.{digits}f}]")


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with ``digits`` digits after the point."""
    if missing(value):
        return NOTHING
    # adding zero turns a negative zero into a positive one
    return _minus(f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}")


def magnitude(value: float | None) -> str:
    """A damping, such as ``2·10⁻⁵``: one digit is enough for the grid of 1, 2, 5 times powers."""
    if missing(value) or value <= 0:
        return NOTHING
    mantissa, exponent = f"{value:.0e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}·10{power}"


def parameters(text: str | None) -> str:
    """The column ``parameters`` for readers: a damping alone as ``2·10⁻⁵``, others with names."""
    values = {} if missing(text) else json.loads(text)
    if set(values) == {"damping"}:
        return magnitude(values["damping"])
    order = sorted(values, key=lambda name: (name != "floor", name))
    words = [f"{name} {_short(values[name])}" for name in order]
    return ", ".join(words) or NOTHING


def _short(value: Any) -> str:
    return str(value).replace("_", " ") if isinstance(value, str) else f"{value:g}"


def plain(value: Any) -> str:
    """A setting for readers: lists with commas, yes or no, numbers as in the file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(inner)}" for key, inner in value.items()) or "defaults"
    if isinstance(value, list | tuple):
        return (
            ", ".join(f"({plain(v)})" if isinstance(v, Mapping) else plain(v) for v in value)
            or NOTHING
        )
    return NOTHING if value is None else str(value)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def gains(table: Any) -> list[dict[str, Any]]:
    """Shares of a method's gain over another for the target loss, one row per path and switch.

    Args:
        table: ``ablation/gains.csv``; None or empty without an ablation.

    Returns:
        Dictionaries with before, after, switch, change (in words), cells {queries: {order:
        {difference, lo, hi}}}; the order of the whole gain is "all".
    """
    if table is None or not len(table):
        return []
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in table[table.target == "loss"].to_dict("records"):
        key = (row["before"], row["after"], row["switch"])
        change = "" if row["switch"] == "all" else f"{_level(row['from'])} to {_level(row['to'])}"
        new = dict(zip(("before", "after", "switch"), key, strict=True))
        entry = rows.setdefault(key, {**new, "change": change, "cells": {}})
        cell = entry["cells"].setdefault(row["queries"], {})
        cell[row["order"]] = {name: float(row[name]) for name in ("difference", "lo", "hi")}
    return list(rows.values())


def _level(value: Any) -> str:
    return {"True": "on", "False": "off"}.get(str(value), str(value))
