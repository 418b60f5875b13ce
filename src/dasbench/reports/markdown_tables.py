"""Markdown tables from a specification of their records, rows and cells.

Vocabulary: a *record* is one line of a result file. A *template* is a text with fields of a record
in braces, ``{lds:points}``; the format ``points`` writes a fraction times 100 with one decimal. A
*cell* is a list of templates: the first template whose fields all have values is written.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

Cell = Sequence[str]


class _Templates(string.Formatter):
    """Adds the format ``points`` to Python's formats."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one field; ``points`` is a fraction times 100, without a percent sign."""
        if format_spec == "points":
            return format(value, ".1%").removesuffix("%")
        return super().format_field(value, format_spec)


def text(cell: Cell, record: Mapping[str, Any]) -> str:
    """Write a cell: the first template whose fields all have values, or nothing."""
    templates = _Templates()
    for template in cell:
        names = [name for _, name, _, _ in templates.parse(template) if name]
        if not any(pd.isna(record[name]) for name in names):
            return templates.vformat(template, (), record)
    return ""


def number(name: str, form: str = "points") -> Cell:
    """A cell with a number, or a dash without a value."""
    return (f"{{{name}:{form}}}", "–")


def interval(name: str, form: str = "points", more: str = "") -> Cell:
    """A cell such as ``54.4 (49.0 to 58.1)``, then ``more``; the number alone without interval."""
    estimate = f"{{{name}:{form}}}"
    return (f"{estimate} ({{lo:{form}}} to {{hi:{form}}}){more}", f"{estimate}{more}", "–")


class Column(NamedTuple):
    """Cells of one column.

    Attributes:
        heading: Text of the head of the column.
        cell: Templates of its cells.
        when: Selects the record of a row: column of the results -> value.
        absent: Text for a row without such a record.
    """

    heading: str
    cell: Cell
    when: Mapping[str, str]
    absent: str = ""


@dataclass(frozen=True)
class Form:
    """How a table shows its records.

    Attributes:
        rows: Heading -> template or cell of the columns that name a row. Records with equal texts
            form one row; rows keep the order of their first records. A heading may hold fields of
            the first record of the table.
        columns: The other columns.
        where: Selects records: column of the results -> allowed values.
        prepare: Function that orders or joins the selected records.
    """

    rows: Mapping[str, str | Cell]
    columns: Sequence[Column] = ()
    where: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table

    def markdown(self, table: pd.DataFrame) -> str:
        """The table in Markdown."""
        for name, values in self.where.items():
            table = table[table[name].isin(values)]
        cells = [(cell,) if isinstance(cell, str) else cell for cell in self.rows.values()]
        records = self.prepare(table).to_dict("records")
        rows: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
        for record in records:
            rows.setdefault(tuple(text(cell, record) for cell in cells), []).append(record)
        first = records[0] if records else {}
        head = [text((heading,), first) for heading in self.rows]
        head += [column.heading for column in self.columns]
        lines = [head, ["---"] * len(head)]
        for names, part in rows.items():
            lines.append([*names, *(_cell(column, part) for column in self.columns)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(column: Column, records: Sequence[Mapping[str, Any]]) -> str:
    """Text of a row in a column."""
    matching = [record for record in records if column.when.items() <= record.items()]
    return text(column.cell, matching[-1]) if matching else column.absent
