"""Markdown tables from a specification: which records, what names a row, what a cell shows.

Vocabulary: a *record* is one line of a result file; a *template* is a text with fields of a record
in braces, ``{lds:points}``; a *cell* is a list of templates, of which the first is written whose
fields all have values. ``points`` is the format of fractions: times 100, one decimal.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

Cell = Sequence[str]


class _Templates(string.Formatter):
    """Formats fields, among them fractions as ``points``."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """A fraction times 100 without the sign of percent; anything else as usual."""
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
    """A number; a dash where there is none."""
    return (f"{{{name}:{form}}}", "–")


def interval(name: str, form: str = "points", more: str = "") -> Cell:
    """``54.4 (49.0 to 58.1)``, ``more`` behind; without an interval the number alone."""
    estimate = f"{{{name}:{form}}}"
    return (f"{estimate} ({{lo:{form}}} to {{hi:{form}}}){more}", f"{estimate}{more}", "–")


class Column(NamedTuple):
    """Cells of one column.

    Attributes:
        heading: Its heading.
        cell: Templates of a cell.
        when: Which record of a row is shown: column of the results -> value.
        absent: Written where a row has no such record.
    """

    heading: str
    cell: Cell
    when: Mapping[str, str]
    absent: str = ""


@dataclass(frozen=True)
class Form:
    """What a table shows of its records.

    Attributes:
        rows: Heading -> template or cell of the columns that name a row; records with equal texts
            are one row, in the order of their first. A heading may hold fields of the first record.
        columns: The other columns.
        where: Which records are used: column of the results -> values.
        prepare: Orders or joins these records.
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
    """What a row has in a column."""
    matching = [record for record in records if column.when.items() <= record.items()]
    return text(column.cell, matching[-1]) if matching else column.absent
