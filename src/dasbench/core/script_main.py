"""Code that every script shares: settings from one JSON string, errors as one sentence."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dasbench.errors import UserError, print_notes

Form = TypeVar("Form")


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with ``--settings``: the one string of settings that the rule declares.

    A script gets no other settings, so its result depends on nothing that the rule does not
    declare.
    """
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--settings", type=json.loads, required=True, help="JSON, from the rule")
    return arguments


def model_parser(description: str | None) -> argparse.ArgumentParser:
    """As ``parser``, with the options for ``diffusion.model_inputs`` of scripts with a model."""
    arguments = parser(description)
    arguments.add_argument("--latents", type=Path, help="folder of latents, for models of latents")
    arguments.add_argument(
        "--prompts", type=Path, help="embeddings of prompts, .npy, where there are"
    )
    arguments.add_argument("--threads", type=int, default=1)
    return arguments


def add_paths(to: argparse.ArgumentParser, form: type) -> None:
    """Add an option for each field of a dataclass of paths; see ``input_files.Files``."""
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
    """The dataclass ``form`` with the paths of the options that ``add_paths`` added."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(form)}
    return form(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def main(run: Callable[[], None]) -> None:
    """Run a script; for a UserError, print its sentence without a traceback and exit with 1."""
    print_notes()
    try:
        run()
    except UserError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        # a damaged table or list can raise any exception; a bug report needs the traceback
        traceback.print_exc()
        kind = type(error).__name__
        sys.exit(
            f"error: {sys.argv[0]} stopped ({kind}: {error}); ./run verify tells whether an input "
            "is damaged, otherwise please report this with the lines above"
        )
