"""Arguments of the public functions: refused in one sentence if they are of another kind."""

from __future__ import annotations

import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from dasbench.errors import UserError


def whole(name: str, value: Any, least: int | None = None) -> int:
    """A whole number.

    Args:
        name: Of the argument.
        value: The argument; 2.0 is a whole number, True and "2" are none.
        least: The smallest value, or None.

    Raises:
        UserError: If it is none, or smaller.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    exact = number and (isinstance(value, Integral) or float(value).is_integer())
    if not exact or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise UserError(f"{name} is {value!r}, expected a whole number{bound}")
    return int(value)


def path(name: str, value: Any) -> Path:
    """A path, with ~ for the home folder.

    Args:
        name: Of the argument.
        value: A text or a path object.

    Raises:
        UserError: If it is something else, or empty.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise UserError(f"{name} is {value!r}, expected the path of a file or folder")
    return Path(value).expanduser()
