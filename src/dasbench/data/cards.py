"""Facts about the data sets: ``data/registry.yaml``, checked by its schema.

The report and exported cards show these facts beside measured properties of the images. Only
``files``, with names, digests and URLs, affects which images are read.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.core.yaml_schema import dotted, read_schema, read_yaml, schema_problems
from dasbench.errors import UserError

FILE = "data/registry.yaml"
SCHEMA = "workflow/schemas/registry.schema.yaml"
SHOWN = ("name", "source", "licence", "size", "fetch", "content", "known")


@functools.cache
def load(root: Path) -> dict[str, dict[str, Any]]:
    """The registry: data set -> facts.

    Raises:
        UserError: If the file does not satisfy its schema.
    """
    content = read_yaml(Path(root, FILE), FILE)
    for path, sentence in schema_problems(content, read_schema(Path(root, SCHEMA))):
        raise UserError(f"{FILE}: {dotted(path)} {sentence}")
    return content


def of(experiment: Mapping[str, Any], root: str | Path) -> dict[str, Any]:
    """Facts about an experiment's images, to show: the registry's, overridden by ``data.card``.

    ``classes`` maps labels to names, as it does in ``data/*/card.json``.
    """
    data = experiment["data"]
    entry = load(Path(root)).get(data["dataset"], {})
    facts = {key: entry[key] for key in SHOWN if entry.get(key)}
    if names := entry.get("classes"):
        facts["classes"] = {str(label): name for label, name in enumerate(names)}
    return {**facts, **data["card"]}


def table(known: Mapping[str, Mapping[str, Any]]) -> str:
    """The Markdown table of the registry in docs/datasets.md."""
    columns = {"content": "content", "size": "to fetch", "licence": "licence", "fetch": "from"}
    lines = [f"| data set | {' | '.join(columns.values())} |", f"|{'---|' * (len(columns) + 1)}"]
    for name, facts in known.items():
        cells = [f"`{name}`", *(facts[key] or "–" for key in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
