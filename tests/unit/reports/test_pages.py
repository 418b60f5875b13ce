"""How numbers are written on pages."""

from __future__ import annotations

import pytest

from dasbench.reports import pages


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-05, "2·10⁻⁵"), (1.0, "1·10⁰"), (5e-8, "5·10⁻⁸"), (float("nan"), "–"), (None, "–")],
)
def test_dampings_are_readable(value: float | None, text: str) -> None:
    """Mantissa and exponent of the grid."""
    assert pages.magnitude(value) == text


def test_signs_and_dashes() -> None:
    """True minus signs, no negative zero, an en dash for nothing."""
    assert pages.percent(-0.1234) == "−12.3"
    assert pages.percent(-0.0001) == "0.0"
    assert pages.percent(0.02, 1, True) == "+2.0"
    assert pages.percent(float("nan")) == pages.NOTHING
    assert pages.interval(-0.01, 0.02) == "[−1.0, 2.0]"
