"""Parameters of a method: a finite grid of points, one of which tuning data select.

A *point* has a value for each parameter of a method, such as ``{"damping": 1e-4}`` or ``{"centre":
"mean", "power": 4}``. A method without parameters has a single point, which is empty. A *grid* is a
list of points. Its order settles ties: of equal scores on tuning data, the last point is selected.
A value is a number, which has an order, or a word, which has none.

A family of methods lists the points of a method in its function ``grid``, see
``dasbench.attribution.methods``. To give a method another parameter, add an axis to its grid; the
selection, the tables and the stored scores follow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product as combinations
from typing import Any

import numpy as np

Value = float | int | str


class Point(Mapping[str, Value]):
    """The values of a method's parameters; equal to a dict with the same entries, and hashable.

    Args:
        values: Parameter -> value.
        more: Further parameters.

    Example:
        >>> str(Point(power=4, centre="mean"))
        '{"centre":"mean","power":4}'
        >>> Point.read('{"damping":0.0001}')["damping"]
        0.0001
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | Iterable = (), **more: Any) -> None:
        """Take the values; numbers of NumPy become Python's."""
        pairs = {**dict(values), **more}.items()
        self._values = {k: v.item() if isinstance(v, np.generic) else v for k, v in pairs}

    def __getitem__(self, name: str) -> Value:
        """The value of a parameter."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Names of the parameters."""
        return iter(self._values)

    def __len__(self) -> int:
        """Number of parameters."""
        return len(self._values)

    def __hash__(self) -> int:
        """Equal points have equal hashes."""
        return hash(frozenset(self._values.items()))

    def __str__(self) -> str:
        """Canonical JSON, as in the column ``parameters`` of the tables: ``{}`` without any."""
        return json.dumps(self._values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def __repr__(self) -> str:
        """As ``str``."""
        return f"Point({self})"

    @classmethod
    def read(cls, text: str) -> Point:
        """The point of a text from ``str``; numbers are read exactly."""
        return cls(json.loads(text))

    @property
    def words(self) -> dict[str, str]:
        """The values without an order."""
        return {name: value for name, value in self.items() if isinstance(value, str)}


NO_PARAMETERS = Point()


def product(axes: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Every combination of the values of some parameters, the last parameter fastest.

    Args:
        axes: Parameter -> its values in their order. No parameters give the empty point.
    """
    return [Point(zip(axes, values, strict=True)) for values in combinations(*axes.values())]


def dampings(values: Sequence[float]) -> list[Point]:
    """Points with the damping alone, in the order of ``values``."""
    return product({"damping": values})


def at_end(points: Sequence[Point], index: int) -> bool:
    """Whether some number of a point is the smallest or the largest of its grid.

    A better value may then lie outside. The point is compared with those that share its words.
    """
    chosen = points[index]
    peers = [point for point in points if point.words == chosen.words]
    ends = {}
    for name in chosen.keys() - chosen.words.keys():
        values = [point[name] for point in peers if name in point]
        ends[name] = (min(values), max(values))
    return any(chosen[name] in pair for name, pair in ends.items())
