"""Arguments of another kind are refused by name; paths get a home folder."""

from pathlib import Path

import numpy as np
import pytest

from dasbench.core import arguments
from dasbench.errors import UserError


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3)])
def test_whole_numbers(value):
    found = arguments.whole("top", value, 1)
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("value", [0, -1, 2.5, float("nan"), float("inf"), True, "3", None, [3]])
def test_other_numbers_are_refused(value):
    with pytest.raises(UserError, match="^top is .*, expected a whole number of at least 1$"):
        arguments.whole("top", value, 1)


def test_without_a_least_value_a_number_may_be_negative():
    assert arguments.whole("seed", -4) == -4


def test_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert arguments.path("out", "~/index") == Path("/home/someone/index")
    assert arguments.path("out", Path("index")) == Path("index")


@pytest.mark.parametrize("value", [3, None, b"index", ["index"], ""])
def test_other_paths_are_refused(value):
    with pytest.raises(UserError, match="^out is .*, expected the path of a file or folder$"):
        arguments.path("out", value)
