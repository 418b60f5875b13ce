"""``./run judge``: judge scores from elsewhere, with models that were retrained before."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.attribution.transforms import TRANSFORMS
from dasbench.commands.new_experiment_options import not_empty
from dasbench.core import artifacts, memmaps, script_main, tables
from dasbench.core.command_line import Parser
from dasbench.errors import UserError
from dasbench.evaluation import judging, lds, statistics
from dasbench.evaluation.judging import Judge

FOLDER = Path(__file__).parents[3] / "reference/judge"
WORDS = {"val": "held-out images", "gen": "generated images"}
AGAINST = ("das_stepwise", "das", judging.FLOOR)  # methods that the scores are compared with
COLUMNS = ["method", "queries", "transform", "lds", "lo", "hi", "fraction"]
COLUMNS += ["partial", "partial_lo", "partial_hi"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = Parser(
        prog="./run judge",
        description="Judge scores [N, Q] of training images for the queries of an experiment.",
    )
    cli.add_argument("val", type=not_empty, nargs="?", metavar="FILE.npy", help="held-out images")
    cli.add_argument("--gen", type=not_empty, metavar="FILE.npy", help="scores: generated images")
    cli.add_argument("--on", default="digits", metavar="E", help="the experiment (digits)")
    cli.add_argument("--name", default="yours", help="of the scores, in the tables (yours)")
    cli.add_argument("--transform", choices=TRANSFORMS, help="(by default tuning data choose)")
    cli.add_argument("--tuning", action="store_true", help="tuning data alone, to choose by")
    cli.add_argument("--inputs", type=not_empty, metavar="DIR", help="write images and queries")
    cli.add_argument("--csv", type=not_empty, metavar="FILE", help="write the table")
    return cli


def read(path: str) -> np.ndarray:
    """Scores [N, Q] from a file.

    Raises:
        UserError: If it is no ``.npy`` of numbers.
    """
    scores = memmaps.load(Path(path).expanduser(), (None, None))
    if scores.dtype.kind not in "fiu":
        raise UserError(f"{path} has dtype {scores.dtype}, expected numbers; save it as float32")
    return np.asarray(scores, np.float64)


def write_inputs(judge: Judge, folder: Path) -> list[Path]:
    """Write what scores are computed from: training images and queries, as ``.npy``."""
    parts = {name: array for name, array in judge.arrays.items() if name.startswith("train/")}
    parts |= {name: array for name, array in judge.arrays.items() if name.startswith("queries/")}
    written = []
    for name, array in parts.items():
        written.append(folder / f"{name.replace('/', '_')}.npy")
        artifacts.save_array(written[-1], array)
    return written


def places(judge: Judge, kind: str, scores: float, name: str) -> pd.Series:
    """LDS of the experiment's methods and of these scores, the highest first."""
    outcome = judge.outputs(kind, "eval")["loss"].mean(axis=0, dtype=np.float64)
    found = {name: scores}
    for method in judge.methods(kind):
        ranks = judge.arrays[f"ranks/{method}/{kind}"]
        found[method] = float(np.nan_to_num(statistics.spearman(ranks, outcome)).mean())
    return pd.Series(found).sort_values(ascending=False, kind="stable")


def row_of(side: lds.Side, name: str) -> pd.Series:
    """The row of the target loss of scores that have been judged."""
    summary = side[0]
    own = summary[summary["own"] & (summary["target"] == "loss")].iloc[0]
    return pd.concat([own, pd.Series({"method": name, "fraction": own["lds"] / own["ceiling"]})])


def percent(value: float) -> str:
    """A fraction times 100, with one decimal."""
    return f"{100 * value:.1f}"


def ends(lo: float, hi: float) -> str:
    """An interval in words."""
    return f"({percent(lo)} to {percent(hi)})"


def tell_tuning(judge: Judge, kind: str, scores: np.ndarray) -> pd.Series:
    """Print the LDS of each transform on tuning data, and return it."""
    tuned = judging.tuning(judge, scores, kind)
    numbers = ", ".join(f"{name} {percent(value)}" for name, value in tuned.items())
    print(f"\n{WORDS[kind]}: LDS on tuning data: {numbers}")
    return tuned


def report(judge: Judge, kind: str, scores: np.ndarray, args: argparse.Namespace) -> pd.Series:
    """Judge scores of one kind of query, and print what was found.

    Returns:
        The row of the scores, with ``COLUMNS``.
    """
    transform = args.transform or tell_tuning(judge, kind, scores).idxmax()
    side = judging.evaluate(judge, scores, kind, transform)
    own = row_of(side, args.name)
    how = "as given" if args.transform else "the best on tuning data"
    print(f"transform {transform}, {how}")
    print(
        f"LDS {percent(own.lds)} {ends(own.lo, own.hi)}, {own.fraction:.0%} of the ceiling; beyond "
        f"the floor {percent(own.partial)} {ends(own.partial_lo, own.partial_hi)}"
    )
    for method in (m for m in AGAINST if m in judge.methods(kind)):
        table = lds.compare(
            side, judging.of_method(judge, method, kind), level=judge.about["level"]
        )
        pair = table[table["target"] == "loss"].iloc[0]
        unresolved = ", not resolved" if pair.lo <= 0 <= pair.hi else ""
        print(f"  minus {method}: {percent(pair.difference)} {ends(pair.lo, pair.hi)}{unresolved}")
    found = places(judge, kind, own.lds, args.name)
    for place, (method, value) in enumerate(found.items(), start=1):
        print(f"  {place:3d}  {percent(value):>5}  {method}{'  <' * (method == args.name)}")
    return own


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge the scores of the command line."""
    args = parser().parse_args(arguments)
    given = {kind: path for kind, path in (("val", args.val), ("gen", args.gen)) if path}
    if not given and not args.inputs:
        raise UserError("there are no scores; give FILE.npy, --gen FILE.npy, or --inputs DIR")
    judge = judging.load(FOLDER / f"{args.on}.npz")
    if args.name in judge.about["methods"]:
        raise UserError(f"{args.name} is a method of {args.on}; choose another --name")
    if args.inputs:
        print(*write_inputs(judge, Path(args.inputs).expanduser()), sep="\n")
        print(f"the base model: `./run -- base_{args.on}` trains it; results/{args.on}/models/base")
    if not given:
        return
    scores = {kind: read(path) for kind, path in given.items()}
    for kind, array in scores.items():
        if kind not in judge.kinds:
            raise UserError(f"{args.on} has no {WORDS[kind]}; leave their scores out")
        judging.predictions(judge, array, kind, "tune")  # refuse impossible scores before any work
    seeds, subsets = judge.outputs(judge.kinds[0], "eval")["loss"].shape[:2]
    print(f"{judge.about['title']}: {subsets} subsets, {seeds} retrained models of each")
    rows = []
    for kind, array in scores.items():
        if args.tuning:
            tell_tuning(judge, kind, array)
        else:
            rows.append(report(judge, kind, array, args))
    if args.csv and rows:
        tables.save_table(Path(args.csv).expanduser(), pd.DataFrame(rows)[COLUMNS])


if __name__ == "__main__":
    script_main.main(main)
