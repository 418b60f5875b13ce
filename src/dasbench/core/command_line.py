"""The parser of command lines: argparse's, which here knows every way to write a number."""

from __future__ import annotations

import argparse
import re
from typing import Any

NUMBER = r"-(\d+\.?\d*|\.\d+|inf|nan)(e[+-]?\d+)?$"


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that takes ``-1e-4`` for a number; Python before 3.14 has an option.

    Abbreviations of options are not allowed.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Take the arguments of ``argparse.ArgumentParser``, by name."""
        super().__init__(**{"allow_abbrev": False} | kwargs)
        self._negative_number_matcher = re.compile(NUMBER, re.IGNORECASE)
