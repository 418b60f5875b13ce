"""The command ``dasbench``: build an index of a model's training images, and ask it.

    dasbench index MODEL DATA --out DIR
    dasbench ask IMAGE... --index DIR --page answer.html

It is installed with the package and needs no workflow. ``dasbench.Index`` is the same in Python.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from dasbench.commands import answers, attribute_options, index_settings, questions, subject
from dasbench.commands.index import Index
from dasbench.commands.new_experiment_options import not_empty
from dasbench.core.command_line import Parser
from dasbench.errors import UserError, print_notes
from dasbench.reports import answer_words as words
from dasbench.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; a user's mistake is one sentence and status 1."""
    args = parser().parse_args(arguments)
    print_notes()
    try:
        args.run(args)
    except UserError as error:
        print(f"dasbench: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # such as a file without the right to read it
        if error.filename is None or isinstance(error, BrokenPipeError):
            raise
        print(
            f"dasbench: {error.filename} cannot be read or written ({error.strerror}); mend its "
            "permissions, or give another",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("dasbench: stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # such as `| head`; closed output would raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = Parser(
        prog="dasbench",
        description="Find the training images that stand behind images of a diffusion model.",
    )
    whole.add_argument("--version", action="version", version=__version__)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    _index(commands)
    _add(commands)
    _ask(commands)
    return whole


def _index(commands: Any) -> None:
    cli = commands.add_parser("index", help="compute an index")
    cli.add_argument("model", type=not_empty, metavar="MODEL", help="folder of the model")
    cli.add_argument(
        "data",
        type=not_empty,
        nargs="+",
        metavar="DATA",
        help="folder of its training images; to mend an index, also those that were added",
    )
    cli.add_argument("--out", type=not_empty, required=True, help="folder of the index")
    cli.add_argument("--decoys", type=not_empty, help="folder of images it has not seen")
    _add_prompts(cli)
    cli.add_argument("--decoy-prompts", type=not_empty, metavar="CSV", help="of the decoys")
    cli.add_argument("--lora", type=not_empty, help="adapter of a text-to-image pipeline")
    cli.add_argument("--size", type=int, help="pixels of a side, if the pipeline has another")
    cli.add_argument("--scheduler", type=not_empty, help="its scheduler_config.json, if elsewhere")
    cli.add_argument("--method", default=index_settings.DEFAULT_METHOD, help="(%(default)s)")
    cli.add_argument(
        "--also", action="append", default=[], metavar="METHOD", help="another score beside it"
    )
    cli.add_argument("--damping", type=float, help="of the largest eigenvalue (by method)")
    cli.add_argument("--seed", type=int, default=0, help="of noise and projection (0)")
    cli.add_argument("--shard", metavar="I/N", help="compute only this share of the images")
    index_settings.add_features(cli)
    attribute_options.add_reading(cli)
    cli.set_defaults(run=run_index)


def _add(commands: Any) -> None:
    cli = commands.add_parser("add", help="add training images to an index")
    cli.add_argument("data", type=not_empty, nargs="+", metavar="DATA", help="files or folders")
    cli.add_argument("--index", type=not_empty, required=True, help="folder of the index")
    _add_places(cli)
    _add_prompts(cli)
    cli.add_argument("--skip-bad", action="store_true", help="leave out files that are no images")
    cli.set_defaults(run=run_add)


def _add_places(cli: Any) -> None:
    """Options that say where the model of an index is by now."""
    cli.add_argument("--model", type=not_empty, help="folder of the model, if it has moved")
    cli.add_argument("--lora", type=not_empty, help="its adapter, if that has moved")


def _add_prompts(cli: Any) -> None:
    """Options that say the prompts of training images, for a model with prompts."""
    group = cli.add_mutually_exclusive_group()
    group.add_argument("--prompts", type=not_empty, metavar="CSV", help="columns file and prompt")
    group.add_argument("--prompt", help="one for all images")


def _ask(commands: Any) -> None:
    cli = commands.add_parser("ask", help="ask an index about images")
    cli.add_argument("images", type=not_empty, nargs="+", metavar="IMAGE", help="files or folders")
    cli.add_argument("--index", type=not_empty, required=True, help="folder of the index")
    _add_places(cli)
    attribute_options.add_conditions(cli)
    attribute_options.add_output(cli)
    attribute_options.add_reading(cli)
    cli.set_defaults(run=run_ask)


def run_index(args: argparse.Namespace) -> None:
    """``dasbench index``."""
    subject.use_cores()
    index = Index.build(
        args.model,
        args.data if len(args.data) > 1 else args.data[0],
        args.out,
        prompts=args.prompts or args.prompt,
        decoys=args.decoys,
        decoy_prompts=args.decoy_prompts,
        method=args.method,
        also=args.also,
        damping=args.damping,
        seed=args.seed,
        scheduler=args.scheduler,
        lora=args.lora,
        size=args.size,
        shard=args.shard,
        reading=attribute_options.reading(args),
        skip_bad=args.skip_bad,
        **index_settings.given_features(args),
    )
    if args.shard:
        print(
            f"share {args.shard} is done; when all are, the same command without --shard joins them"
        )
        return
    _report(index)


def run_add(args: argparse.Namespace) -> None:
    """``dasbench add``."""
    subject.use_cores()
    index = Index.open(args.index, args.model, args.lora, complete=False)
    _report(index.add(args.data, prompts=args.prompts or args.prompt, skip_bad=args.skip_bad))


def run_ask(args: argparse.Namespace) -> None:
    """``dasbench ask``."""
    attribute_options.check_output(args)
    subject.use_cores()
    index = Index.open(args.index, args.model, args.lora)
    how = attribute_options.reading(args)
    answer = index.ask(
        args.images, args.prompt, args.label, args.clip, skip_bad=args.skip_bad, **how
    )
    show(answer, args.top)
    print(check_line(answer))
    for line in answer.warnings:
        print(f"warning: {line}")
    questions.write(answer, args)


def show(answer: questions.Answered, top: int) -> None:
    """Print the list of each query: the highest scores, and other images that stand out.

    A line has the rank of a training image, its rank by each other score, its score, the share of
    the total, the q-value if there are decoys, and its name.

    Args:
        answer: The answer.
        top: How many of the highest scores to list.
    """
    names, shares = questions.named(answer.training), answer.share(answer.main)
    others = [f"by {other.title.split()[-1]}" for other in answer.others]
    _line("rank", [*others, "score", "share", *(["q-value"] if answer.evidence else [])], "image")
    for j, name in enumerate(questions.named(answer.queries)):
        print(name)
        if answer.evidence is not None:
            print(f"  {answer.evidence.sentences[j]}")
        ranks = [answer.ranks(score, j) for score in answer.all_scores]
        rows, further = answer.order(answer.main, j, top), answer.further(j, top)
        for place, i in enumerate([*rows, *further[: words.MORE]]):
            if place == len(rows):
                print(f"  {words.further(len(further), len(rows))}")
            first, *rest = (f"{each[i]:,}" for each in ranks)
            share = words.share(shares[i, j]).replace(words.PERCENT, " %")
            q = [] if answer.evidence is None else [words.q_value(answer.evidence.q[i, j])]
            _line(first, [*rest, f"{answer.scores[i, j]:.4g}", share, *q], names[i])
        for other in answer.others:
            print(f"  {words.agreement(other.title, answer.order(other, j, top), rows)}")


def _line(rank: str, cells: Sequence[str], name: str) -> None:
    """Print one line of a list."""
    print(f"{rank:>6}", *(f"{cell:>10}" for cell in cells), f" {name}")


def check_line(answer: questions.Answered) -> str:
    """What the self-check of the index says."""
    if answer.checks is None:
        return answers.NO_CHECK
    ranks = np.asarray(answer.checks.ranks)
    return (
        f"self-check: {int((ranks == 1).sum())} of {len(ranks)} training images come out on top of "
        "their own query"
    )


def _report(index: Index) -> None:
    size = sum(file.stat().st_size for file in index.folder.rglob("*") if file.is_file())
    checks = questions.self_checked(index)
    ranks = np.asarray([] if checks is None else checks.ranks)
    passed = f"{int((ranks == 1).sum())} of {len(ranks)} come out on top of their own query"
    print(
        f"{index.folder}: {index.manifest.count:,} training images, {size / 1e6:,.0f} MB; "
        f"{answers.NO_CHECK if checks is None else passed}"
    )
    if (ranks > 1).any():
        wrong = ranks[ranks > 1].tolist()
        print(f"warning: {answers.sentence(len(wrong), len(ranks), wrong)}")
