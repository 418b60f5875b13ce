"""The command line of ``./run new-experiment``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dasbench.core.command_line import Parser


class Request(NamedTuple):
    """The options of the command line, see ``parser``."""

    name: str
    images: Path
    labels: Path | None = None
    size: int | None = None
    grey: bool = False
    skip_bad: bool = False
    checkpoint: Path | None = None
    lds: bool = False
    held_out: Path | None = None
    range: Sequence[float] | None = None
    quick: bool = False

    @property
    def judged(self) -> bool:
        """Whether subset models are trained."""
        return self.checkpoint is None or self.lds


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line."""
    cli = Parser(prog="./run new-experiment", description=description)
    cli.add_argument("name", help="of the experiment: lower case letters, digits, _")
    cli.add_argument("--images", type=_path, required=True, help="folder with the pictures")
    cli.add_argument("--labels", type=_path, help="CSV with the columns file and label")
    cli.add_argument("--size", type=int, help="side in pixels that the pictures are scaled to")
    cli.add_argument("--grey", action="store_true", help="one channel instead of three")
    cli.add_argument("--skip-bad", action="store_true", help="leave out files that cannot be read")
    cli.add_argument(
        "--checkpoint", type=_path, help="diffusers pipeline to attribute instead of training one"
    )
    cli.add_argument(
        "--lds", action="store_true", help="with --checkpoint: judge by subset models, too"
    )
    cli.add_argument(
        "--held-out",
        type=_path,
        metavar="FOLDER",
        help="pictures that the model was not trained on, as further queries; without it, a fifth "
        "of the pictures, and none with --checkpoint",
    )
    cli.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="numbers of black and white in pictures of more than 8 bits",
    )
    cli.add_argument(
        "--quick", action="store_true", help="a small trial: fewer passes, models and queries"
    )
    return cli


def _path(text: str) -> Path:
    """A path relative to the user's folder, made absolute.

    Raises:
        argparse.ArgumentTypeError: If an experiment file cannot hold the path.
    """
    path = not_empty(text)
    if not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"{text!r} has a line break or another control character, which an experiment file "
            "cannot hold; rename the folder or the file"
        )
    return Path(os.environ.get("DASBENCH_CALLER_FOLDER", "."), path.expanduser()).resolve()


def not_empty(text: str) -> Path:
    """A path of the command line; an empty one, as of an unset variable, is not this folder.

    Raises:
        argparse.ArgumentTypeError: If it is empty, or in the home of an unknown user.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty, expected a path; . is this folder")
    try:
        Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(
            f"{text} is in the home of a user who is not known here, expected a path"
        ) from error
    return Path(text)
