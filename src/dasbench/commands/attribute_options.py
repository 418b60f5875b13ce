"""The command line of ``./run attribute``, and what is refused before any work."""

from __future__ import annotations

import argparse
import math
import numbers
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.commands.image_files import RESIZE
from dasbench.commands.new_experiment_options import not_empty
from dasbench.core.command_line import Parser
from dasbench.core.yaml_schema import dotted, read_schema, schema_problems
from dasbench.errors import UserError
from dasbench.experiments import config


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line."""
    cli = Parser(prog="./run attribute", description=description)
    cli.add_argument(
        "images",
        type=not_empty,
        nargs="+",
        metavar="IMAGE",
        help="the queries: image files or folders",
    )
    cli.add_argument("--experiment", default="digits", help="whose model and training set (digits)")
    cli.add_argument("--model", type=not_empty, help="a diffusers pipeline folder instead")
    cli.add_argument("--data", type=not_empty, help="folder of the images that it was trained on")
    cli.add_argument(
        "--scheduler",
        type=not_empty,
        help="its scheduler_config.json, for a model folder without one",
    )
    cli.add_argument("--lora", type=not_empty, help="adapter of a text-to-image pipeline")
    cli.add_argument("--size", type=int, help="pixels of a side, if the pipeline has another")
    cli.add_argument("--prompts", type=not_empty, metavar="CSV", help="of the images in --data")
    cli.add_argument(
        "--decoys",
        type=not_empty,
        help="images that the model has not seen (the experiment's held-out ones)",
    )
    cli.add_argument("--decoy-prompts", type=not_empty, metavar="CSV", help="of the decoys")
    add_conditions(cli)
    cli.add_argument("--method", help="(das_stepwise, or das_common if the experiment lacks it)")
    cli.add_argument("--damping", type=float, help="relative; default: the experiment's choice")
    cli.add_argument("--cache", type=not_empty, help="folder of the indexes that are kept")
    add_output(cli)
    add_reading(cli)
    return cli


def add_conditions(cli: argparse.ArgumentParser) -> None:
    """Options that say the prompts or classes of the queries."""
    condition = cli.add_mutually_exclusive_group()
    condition.add_argument("--prompt", action="append", help="of the images: one, or one for each")
    condition.add_argument("--label", action="append", help="their class: one, or one for each")


def add_output(cli: argparse.ArgumentParser) -> None:
    """Options that say where an answer goes."""
    cli.add_argument("--clip", type=not_empty, metavar="FOLDER", help="a CLIP model, to compare")
    cli.add_argument("--top", type=int, default=8, help="how many training images to name (8)")
    cli.add_argument("--page", type=not_empty, help="also write the answer as a page, .html")
    cli.add_argument("--csv", type=not_empty, help="also write the answer as a table, .csv")
    cli.add_argument("--scores", type=not_empty, help="also write the [N, Q] scores here, .npy")


def add_reading(cli: argparse.ArgumentParser) -> None:
    """Options that say how image files are read."""
    cli.add_argument("--skip-bad", action="store_true", help="leave out files that are no images")
    cli.add_argument(
        "--resize",
        choices=RESIZE,
        help="how images become squares; default: the experiment's, or crop",
    )
    cli.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="numbers of black and white in images of more than 8 bits",
    )


def reading(args: argparse.Namespace) -> dict[str, Any]:
    """How image files are read: the options of ``add_reading`` that the user gave.

    Raises:
        UserError: If the range is none.
    """
    if args.range and not (args.range[0] < args.range[1] and np.isfinite(args.range).all()):
        raise UserError(
            f"--range is {args.range}, expected two finite numbers, BLACK and WHITE, the smaller "
            "first"
        )
    given = {"resize": args.resize, "range": args.range}
    return {name: value for name, value in given.items() if value is not None}


def check(args: argparse.Namespace) -> None:
    """Refuse options that cannot work, before any work.

    Raises:
        UserError: If a value is impossible, or the scores cannot be written.
    """
    if (args.model is None) != (args.data is None):
        raise UserError("--model and --data go together: the model and what it was trained on")
    for given, what in ((args.lora, "--lora"), (args.prompts, "--prompts"), (args.size, "--size")):
        if given is not None and args.model is None:
            raise UserError(f"{what} is {given}, but the model is an experiment's; add --model")
    for given, what in (
        (args.model, "--model"),
        (args.data, "--data"),
        (args.decoys, "--decoys"),
    ):
        if given is not None and not given.exists():
            raise UserError(f"{what} {given} is missing; check the path")
    if args.damping is not None:
        check_damping(args.damping)
    reading(args)
    check_output(args)


def check_output(args: argparse.Namespace) -> None:
    """Refuse options of ``add_output`` that cannot work.

    Raises:
        UserError: It names the option.
    """
    if args.top < 1:
        raise UserError(f"--top is {args.top}, expected 1 or more")
    for name, suffix in (("page", ".html"), ("csv", ".csv"), ("scores", ".npy")):
        path = getattr(args, name)
        if path is None:
            continue
        if path.suffix != suffix or path.is_dir():
            raise UserError(f"--{name} is {path}, expected a file with the ending {suffix}")
        place = next(p for p in path.absolute().parents if p.exists())
        try:  # os.access allows root everything
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise UserError(
                f"--{name} {path} cannot be written: {place} refuses files ({error.strerror}); "
                "name another folder"
            ) from error


def check_damping(damping: float) -> None:
    """Refuse a damping that is no positive number."""
    number = isinstance(damping, numbers.Real) and not isinstance(damping, bool)
    if not (number and damping > 0 and math.isfinite(damping)):
        shown = f"{damping:g}" if number else repr(damping)
        raise UserError(f"damping is {shown}, expected a positive number such as 1e-4")


def check_features(options: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Feature options of a Python program, by the same schema as those of an experiment.

    Args:
        options: Name -> value.
        known: Names that can be used here.

    Returns:
        The options, numbers of numpy as those of Python.

    Raises:
        UserError: If a name is unknown or a value is impossible.
    """
    if unknown := set(options) - set(known):
        raise UserError(f"{sorted(unknown)} are no feature options; allowed: {', '.join(known)}")
    plain = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in options.items()
    }
    schema = read_schema(config.SCHEMA)["properties"]["features"]
    for path, sentence in schema_problems(plain, schema):
        raise UserError(f"{dotted(path)} {sentence}")
    return plain
