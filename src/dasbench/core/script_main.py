"""What every script shares: settings from one JSON string, errors as one sentence."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dasbench.errors import UserError

Form = TypeVar("Form")


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with ``--settings``: the one string of settings that the rule declares.

    A script sees no other settings, so what it depends on is what the rule says it depends on.
    """
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--settings", type=json.loads, required=True, help="JSON, from the rule")
    return made


def model_parser(description: str | None) -> argparse.ArgumentParser:
    """As ``parser``, with what scripts that run a model share: ``diffusion.model_inputs``."""
    made = parser(description)
    made.add_argument("--latents", type=Path, help="folder of latents, for models of latents")
    made.add_argument("--prompts", type=Path, help="embeddings of prompts, .npy, where there are")
    made.add_argument("--threads", type=int, default=1)
    return made


def add_paths(to: argparse.ArgumentParser, form: type) -> None:
    """Add an option for each field of a dataclass of paths; see ``method_inputs.Files``."""
    for field in dataclasses.fields(form):
        needed = field.default is dataclasses.MISSING
        more = {"nargs": "+"} if field.metadata.get("several") else {}
        to.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=Path,
            required=needed,
            default=None if needed else field.default,
            help=field.metadata["help"],
            **more,
        )


def paths(args: argparse.Namespace, form: type[Form]) -> Form:
    """The dataclass of paths that ``add_paths`` asked for."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(form)}
    return form(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def main(run: Callable[[], None]) -> None:
    """Run a script; a UserError ends it with its sentence and status 1, without a traceback."""
    try:
        run()
    except UserError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        # a damaged table or list can raise anything; the lines above are for whoever mends a bug
        traceback.print_exc()
        kind = type(error).__name__
        sys.exit(
            f"error: {sys.argv[0]} stopped ({kind}: {error}); ./run verify tells whether an input "
            "is damaged, otherwise please report this with the lines above"
        )
