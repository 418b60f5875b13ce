"""``results/index.html``: the LDS of every method on every experiment, beside published numbers.

The page shows the experiments that have been run here, and those whose numbers are kept in
``reference/``. It is a function of these files alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.core import artifacts, tables
from dasbench.core.writing import write_text
from dasbench.errors import UserError, first_line
from dasbench.reports import definitions, pages, reference
from dasbench.reports.explorer import opening
from dasbench.reports.pages import KINDS

FILE = "results/index.html"
PUBLISHED = "reference/published_lds.csv"
_NUMBERS = ("lds", "lo", "hi")
PUBLISHED_KINDS = {
    "verified": "read from stored outputs of public code",
    "derived": "a verified number plus a gain that a paper states",
    "rerun": "run again later by the first author of DAS",
}


def write(root: Path) -> None:
    """Write the page if it would change.

    Args:
        root: Folder of the repository.
    """
    page, path = render(root), root / FILE
    if not path.is_file() or path.read_text(encoding="utf-8") != page:
        path.parent.mkdir(exist_ok=True)
        write_text(path, page)


def render(root: Path) -> str:
    """The page as HTML; equal files give equal text.

    Args:
        root: Folder of the repository.
    """
    found = numbers(root)
    known = {name: entry for entry in definitions.load() for name in entry.names}
    context = {
        **pages.scripted({"experiment": "dasbench", "charts": {}}),
        "experiment": None,
        "title": "All experiments",
        "columns": [(name, kind) for name, one in found.items() for kind in KINDS if one[kind]],
        "experiments": found,
        "rows": rows(found),
        "kinds": KINDS,
        "definitions": known,
        "reports": sorted(file.parent.name for file in root.glob("results/*/report.html")),
        "published": _published(root),
        "sources": PUBLISHED_KINDS,
    }
    return pages.environment().get_template("report/index.html.j2").render(context)


def _published(root: Path) -> list[dict[str, Any]]:
    """Rows of the published numbers whose kind of query is known; empty without the file."""
    if not (root / PUBLISHED).is_file():
        return []
    rows = tables.load_table(root / PUBLISHED).to_dict("records")
    return [row for row in rows if row.get("queries") in KINDS]


def numbers(root: Path) -> dict[str, dict[str, Any]]:
    """The held-out LDS of each experiment for the loss.

    Args:
        root: Folder of the repository.

    Returns:
        Experiment -> kind of query -> method -> {lds, lo, hi}; with ``ceiling`` (kind -> {ceiling,
        lo, hi}), ``here`` (whether the results are here, so the numbers are theirs), ``test``
        (whether it only tests the software), and ``problem`` (why the numbers cannot be read, or
        None). Tests come last.
    """
    tested = {
        file.parents[1].name: file.parents[1] for file in root.glob("results/*/lds/summary.csv")
    }
    kept = {file.stem: file for file in root.glob("reference/*.json") if file.stem != "rates"}
    found = {}
    for name in sorted({*tested, *kept}):
        here = name in tested and all(
            (tested[name] / f"lds/{table}.csv").is_file() for table in ("ceiling", "comparisons")
        )
        if not here and name not in kept:
            continue
        test = bool(opening.warnings(name, {"debug_of": _miniature(root, name)}, None))
        found[name] = {**_content(tested[name] if here else kept[name]), "here": here, "test": test}
    return dict(sorted(found.items(), key=lambda item: (item[1]["test"], item[0])))


def _miniature(root: Path, name: str) -> bool:
    """Whether an experiment is a small version of another one, for tests."""
    file = root / f"config/experiments/{name}.yaml"
    return file.is_file() and re.search("^debug_of:", file.read_text("utf-8"), re.M) is not None


def _content(place: Path) -> dict[str, Any]:
    """The numbers of a folder of results, or of a file of ``reference/``.

    ``problem`` says why they cannot be read: one damaged table must not stop the page.
    """
    try:
        read = reference.collect if place.is_dir() else artifacts.load_json
        return _by_kind(read(place)) | {"problem": None}
    except UserError as error:
        problem = str(error)
    except Exception as error:  # whatever a damaged table makes pandas raise
        problem = f"{place} is damaged or of another version of the code ({first_line(error)})"
    return {**{kind: {} for kind in KINDS}, "ceiling": {}, "problem": problem}


def _by_kind(content: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    result: dict[str, Any] = {kind: {} for kind in KINDS}
    for row in content["lds"]:
        if row["target"] == "loss":
            result[row["queries"]][row["method"]] = row
    loss = [row for row in content["ceiling"] if row["target"] == "loss"]
    numbers = [row[name] for kind in KINDS for row in result[kind].values() for name in _NUMBERS]
    if not all(isinstance(number, int | float) for number in numbers):
        raise UserError("a value of the LDS is no number")
    return result | {"ceiling": {row["queries"]: row for row in loss}}


def rows(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each method, the highest mean first.

    Args:
        found: From ``numbers``.

    Returns:
        method, and cells {(experiment, kind): {lds, lo, hi, fraction}}; the fraction is of the
        ceiling, None unless the interval of the ceiling lies above 0.
    """
    cells: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for name, one in found.items():
        for kind in KINDS:
            bound = one["ceiling"].get(kind)
            known = bound and not pages.missing(bound["ceiling"]) and bound["lo"] > 0
            for method, row in one[kind].items():
                share = row["lds"] / bound["ceiling"] if known else None
                cells.setdefault(method, {})[name, kind] = {**row, "fraction": share}
    # the mean over experiments that have the method; tests of the software do not count
    means = {
        method: [cell["lds"] for (name, _), cell in of.items() if not found[name]["test"]]
        for method, of in cells.items()
    }
    order = sorted(
        cells, key=lambda method: (-(sum(means[method]) / max(len(means[method]), 1)), method)
    )
    return [{"method": method, "cells": cells[method]} for method in order]
