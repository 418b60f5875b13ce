"""What is known of the data sets: ``data/registry.yaml``, checked by its schema.

Facts are shown, in the report and in exported cards, beside what was measured of the images; of
all this only the digests of files decide what is read.
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
        UserError: If it does not fit its schema.
    """
    content = read_yaml(Path(root, FILE), FILE)
    for path, sentence in schema_problems(content, read_schema(Path(root, SCHEMA))):
        raise UserError(f"{FILE}: {dotted(path)} {sentence}")
    return content


def of(experiment: Mapping[str, Any], root: str | Path) -> dict[str, Any]:
    """What is to be shown of an experiment's images: the registry's facts, or its own ``card``.

    Classes by their labels, as ``data/*/card.json`` has those that were read.
    """
    data = experiment["data"]
    known = load(Path(root)).get(data["dataset"], {})
    facts = {key: known[key] for key in SHOWN if known.get(key)}
    if names := known.get("classes"):
        facts["classes"] = {str(label): name for label, name in enumerate(names)}
    return {**facts, **data["card"]}


def table(known: Mapping[str, Mapping[str, Any]]) -> str:
    """The registry as a table of docs/datasets.md."""
    columns = {"content": "content", "size": "to fetch", "licence": "licence", "fetch": "from"}
    lines = [f"| data set | {' | '.join(columns.values())} |", f"|{'---|' * (len(columns) + 1)}"]
    for name, facts in known.items():
        cells = [f"`{name}`", *(facts[key] or "–" for key in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
