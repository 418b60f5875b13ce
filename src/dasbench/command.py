"""What every script shares: settings from one JSON string, errors as one sentence."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from dasbench.errors import UserError


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with ``--settings``: the one string of settings that the rule declares.

    A script sees no other settings, so what it depends on is what the rule says it depends on.
    """
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--settings", type=json.loads, required=True, help="JSON, from the rule")
    return made


def main(run: Callable[[], None]) -> None:
    """Run a script; a UserError ends it with its sentence and status 1, without a traceback."""
    try:
        run()
    except UserError as error:
        sys.exit(f"error: {error}")
