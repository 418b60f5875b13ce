"""The CSV that says which pictures of a folder are used, and their labels or prompts."""

from __future__ import annotations

import csv
import functools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from dasbench.data.pictures import listed
from dasbench.errors import UserError

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def text(name: str) -> str:
    """A label in one spelling: without blanks around it, letters composed."""
    return unicodedata.normalize("NFC", name.strip())


def number(name: str) -> Decimal | None:
    """The number that a label is, exact also for long ones such as identifiers, or None."""
    return Decimal(name) if _NUMBER.fullmatch(name) else None


def read(path: Path, folder: Path, column: str = "label") -> dict[str, str]:
    """File, relative to the folder -> label, or the text of another column.

    A row may name its file by an absolute path, with ``./``, or relative to the CSV; columns may be
    separated by commas, semicolons or tabs, and have further ones beside them.

    Args:
        path: The CSV.
        folder: The folder.
        column: Name of the column beside ``file``, in the singular.

    Raises:
        UserError: If the CSV cannot be read, lacks a column, has a row without a label, gives one
            file two labels, or names a file that is not in the folder.
    """
    named: dict[str, str] = {}
    absent, blank, double = [], [], []
    for line, cells in _rows(path, column):
        file, label = cells
        name = _inside(file, path, folder)
        if name is None:
            absent.append(file)
        elif not text(label):
            blank.append(f"line {line}: {file}")
        elif named.setdefault(name, text(label)) != text(label):
            double.append(f"{name}: {named[name]}, {text(label)}")
    for wrong, what in (
        (absent, f"names {absent and absent[0]!r}, which is not in {folder}"),
        (blank, f"has rows without a {column}"),
        (double, f"gives one file two {column}s"),
    ):
        if wrong:
            raise UserError(f"{path} {what}; mend the CSV: {listed(wrong, 10)}")
    return named


def _rows(path: Path, column: str) -> Iterator[tuple[int, tuple[str, str]]]:
    """Line and (file, label) of each row."""
    needed = ("file", column)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            mark = _separator(file.readline(), needed)
            file.seek(0)
            rows = csv.reader(file, delimiter=mark, strict=True)
            numbered = [(rows.line_num, row) for row in rows]
    except FileNotFoundError as error:
        raise UserError(f"the CSV of {column}s {path} is missing; check the path") from error
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); expected a CSV in UTF-8") from error
    columns = _columns(numbered[0][1]) if numbered else []
    filled = [(line, row) for line, row in numbered[1:] if any(cell.strip() for cell in row)]
    if any(columns.count(name) != 1 for name in needed):
        found = f"the first line {listed([', '.join(columns)])}" if columns else "no first line"
        raise UserError(
            f"{path} has {found}, expected one column file and one column {column}; name them there"
        )
    if not filled:
        raise UserError(f"{path} has no rows below its first line; add one for each picture")
    places = [columns.index(name) for name in needed]
    for line, row in filled:
        if len(row) > len(columns):
            raise UserError(
                f"{path}, line {line} has {len(row)} cells, expected {len(columns)}; put a cell "
                "that holds the separator into quotes"
            )
        cells = [*row, *[""] * (len(columns) - len(row))]
        yield line, (cells[places[0]], cells[places[1]])


def _columns(cells: Sequence[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _separator(head: str, needed: Sequence[str]) -> str:
    """The mark that finds most of the two columns in the first line, then the most frequent one."""

    def score(mark: str) -> tuple[int, int]:
        columns = _columns(next(csv.reader([head], delimiter=mark), []))
        return sum(name in columns for name in needed), head.count(mark)

    return max(",;\t", key=score)


def _inside(file: str, table: Path, folder: Path) -> str | None:
    """The path of a row's file relative to the folder, or None if it is not there."""
    spellings = [file, file.strip()]
    if "\\" in file:
        spellings.append(file.strip().replace("\\", "/"))
    spellings += [unicodedata.normalize(form, spellings[-1]) for form in ("NFC", "NFD")]
    for spelling in filter(None, dict.fromkeys(spellings)):
        for place in (folder, table.parent):
            absolute = Path(os.path.normpath(Path(os.path.abspath(place), spelling)))
            if not _is_file(absolute):
                continue
            for parent in absolute.parents:  # the folder itself, or a link to it
                if _resolved(parent) == _resolved(folder):
                    return absolute.relative_to(parent).as_posix()
    return None


@functools.lru_cache(maxsize=1024)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() or path.is_symlink()
    except OSError:  # such as a name that is too long
        return False
