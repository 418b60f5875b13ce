"""The style of all figures: palette, fonts, and ``save``, whose bytes depend on content alone.

The colour shows the family of a method (after Okabe and Ito, safe for colour-blind readers). Dash
and marker show the variant within a family: ``das`` and ``das_common`` differ also in grey print.

Source: M. Okabe and K. Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from dasbench.core.writing import atomic
from dasbench.errors import UserError
from dasbench.reports.method_families import CONTROLS, FAMILIES, MEMBERS, family

__all__ = ["CONTROLS", "FAMILIES", "family"]  # of method_families, for all figures

INK, MUTED, FAINT, PALE = "#1d232b", "#667079", "#c9ced4", "#eceef1"
WIDTH = 9.6  # inches; a page of the report is about 100 pixels an inch
DPI = 200

_DASHES: tuple[Any, ...] = (
    "-",
    (0, (4, 1.6)),
    (0, (1.2, 1.2)),
    (0, (6, 1.4, 1.2, 1.4)),
    (0, (2.5, 1.2)),
)
_MARKERS = ("o", "s", "^", "D", "v")
_SHADES = (0.0, -0.3, 0.3, 0.15, -0.15)  # towards white if positive, black if negative
_VARIANTS = {"common": 1, "l1": 2, "released": 3, "dot": 0, "cosine": 1, "probes": 4}

RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so all machines have it
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.parse_math": False,  # a method may be called "a$b"
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "dasbench",
    "path.simplify": False,
}
QUERY_TITLES = {"val": "Held-out images (val)", "gen": "Generated images (gen)"}


@dataclass(frozen=True)
class Look:
    """Colour, dash and marker of one method."""

    colour: str
    dash: Any
    marker: str


def look(method: str, families: Mapping[str, str] | None = None) -> Look:
    """Colour, dash and marker of a method, a function of its name and family alone."""
    name = family(method, families)
    members = MEMBERS.get(name, ())
    suffix = method.rsplit("_", 1)[-1]
    if suffix in _VARIANTS:
        variant = _VARIANTS[suffix]
    elif method in members:
        variant = members.index(method)
    elif method in FAMILIES:
        variant = 0
    else:
        # a checksum: unlike hash() it is the same in every process
        variant = zlib.crc32(method.encode()) % len(_SHADES)
    variant %= len(_SHADES)
    return Look(_shade(FAMILIES[name], _SHADES[variant]), _DASHES[variant], _MARKERS[variant])


def _shade(colour: str, amount: float) -> str:
    target = np.ones(3) if amount > 0 else np.zeros(3)
    return to_hex(np.array(to_rgb(colour)) * (1 - abs(amount)) + target * abs(amount))


def tint(colour: str, amount: float = 0.55) -> str:
    """Mix a colour with white: amount 0 keeps it, 1 gives white."""
    return _shade(colour, amount)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a drawing function: it uses the common style, not the user's matplotlibrc."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.style.context(["default", RC]):
            return draw(*args, **kwargs)

    return wrapper


def new(height: float, width: float = WIDTH) -> Figure:
    """An empty figure without pyplot's global state; sizes in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, paths: str | Path | Iterable[str | Path]) -> None:
    """Write a figure as ``.svg`` and/or ``.png``, by suffix; equal figures give equal bytes.

    Raises:
        UserError: If a suffix is neither of the two.
    """
    for path in [paths] if isinstance(paths, str | Path) else paths:
        suffix = Path(path).suffix[1:]
        metadata: dict[str, Any] = {
            "svg": {"Date": None, "Creator": None},
            "png": {"Software": None},
        }
        if suffix not in metadata:
            raise UserError(f"figures are saved as .svg or .png, not as {path}: change the suffix")
        with matplotlib.style.context(["default", RC]), atomic(path) as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata[suffix])


def require(table: Any, columns: Iterable[str], what: str) -> None:
    """Refuse a table that lacks columns or rows.

    Raises:
        UserError: If columns or all rows are missing.
    """
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise UserError(
            f"{what} lacks the columns {missing}: it was made by another version, remake it"
        )
    if not len(table):
        raise UserError(
            f"{what} has no rows to draw: check that the experiment lists methods for it"
        )
