"""Measuring the subset models against training them.

Both scripts run as the workflow runs them, start-up included, back to back, since seconds recorded
in a run may come from different loads: the shards of one measuring job are measured in full; of the
first one model is trained in full. Training a shard of K models takes K times the seconds of that
job less K - 1 start-ups, those of the same script printing its help, in the same turn. Nothing is
written into the results.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.machine import ROOT
from benchmarks.orchestration import EXPERIMENT, _environment
from dasbench import model_families
from dasbench.errors import UserError
from dasbench.experiments import config


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds of a shard, trained and measured.

    Args:
        threads: Of both scripts.
        repeats: At most 2 turns.
        quick: One epoch of one model, two timesteps.
    """
    experiment = config.load(EXPERIMENT, ROOT)
    home = ROOT / "results" / EXPERIMENT
    if not (home / "models/eval/seed-0/shard-000/masks.npy").is_file():
        raise UserError(f"{home} has no subset models; make them with `./run {EXPERIMENT}`")
    count, shards = experiment["subsets"]["models_per_job"], len(_shards(experiment))
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(experiment, home, Path(folder), threads, quick)
        turns = timing.interleaved(
            {name: lambda words=words: _call(words) for name, words in commands.items()},
            1 if quick else min(repeats, 2),
            warm=False,
        )
    trained = [
        shards * (count * one - (count - 1) * start)
        for one, start in zip(turns["train_one"], turns["start_up"], strict=True)
    ]
    return {
        "models": count * shards,
        "start_up": timing.summary(turns["start_up"]),
        "train_one": timing.summary(turns["train_one"]),
        "measure": timing.summary(turns["measure"]),
        "share": timing.ratio(turns["measure"], trained),
    }


def _commands(
    experiment: config.Experiment, home: Path, out: Path, threads: int, quick: bool
) -> dict[str, list[str]]:
    axes = [experiment["seed_name"], experiment["seed"]]
    subsets = experiment["subsets"]
    training = {name: v for name, v in experiment["training"].items() if name != "checkpoints"}
    timesteps = experiment["outputs"]["timesteps"]
    if quick:
        training["epochs"], timesteps = 1, 2
    shared = {
        "axes": axes,
        "model": experiment["model"],
        "family": model_families.family(experiment["model"])["module"],
    }
    train = shared | {
        "diffusion": experiment["diffusion"],
        "training": training,
        "fraction": subsets["fraction"],
        "stratify": subsets["stratify"],
        "models_per_job": 1,
    }
    evaluate = shared | {
        "models_per_job": subsets["models_per_job"],
        "shards": _shards(experiment),
        "grid": {
            "count": timesteps,
            "total": experiment["diffusion"]["timesteps"],
            "spacing": experiment["outputs"]["spacing"],
        },
    }
    python = [sys.executable]
    common = ["--threads", str(threads)]
    return {
        "start_up": [*python, "scripts/train_subsets.py", "--help"],
        "train_one": [
            *python,
            "scripts/train_subsets.py",
            *("--settings", config.canonical(train)),
            *("--examples", str(home / "examples/train.npz")),
            *("--use", "eval", "--seed", "0", "--shard", "0"),
            *("--out", str(out / "models")),
            *common,
        ],
        "measure": [
            *python,
            "scripts/measure_outputs.py",
            *("--settings", config.canonical(evaluate)),
            *("--base", str(home / "models/base")),
            *("--models", str(home / "models/eval/seed-0")),
            *("--queries", str(home / "queries")),
            *("--out", str(out / "outputs")),
            *common,
        ],
    }


def _shards(experiment: config.Experiment) -> list[str]:
    """The shards of the first measuring job."""
    subsets = experiment["subsets"]
    count = subsets["eval"]["models"] // subsets["models_per_job"]
    return [f"{s:03d}" for s in range(min(count, experiment["outputs"]["shards_per_job"]))]


def _call(words: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        words, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{words[1]} failed: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - start


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Flat results: one thread, as in the workflow."""
    return {"lds_evaluation_share_of_training": details["1"]["share"]["median"]}
