"""What the workflow costs beside the work: planning, starting jobs, doing nothing.

*Loops* are what a run is for: training, measuring, sampling, features. Their time is that of the
jobs that hold them, by Snakemake's own records, less the start-up of each (interpreter, imports),
which is measured here with as many processes at once as there are cores, as in a run.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.machine import ROOT
from dasbench import timings
from dasbench.errors import UserError

EXPERIMENT = "digits"
LOOPS = (
    "train_base",
    "train_subsets",
    "train_removal",
    "make_queries",
    "measure_outputs",
    "measure_removal",
    "compute_features",
    "compute_residuals",
)
PAUSE = 60.0  # seconds without any job: longer ones lie between two runs
SHARDS = 500  # of evaluation models, one job to train and one to measure each
NOTHING = "Nothing to be done"


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds of planning, and shares of a recorded run.

    Args:
        threads: Unused; Snakemake takes what the profile says.
        repeats: Of each command, at most 3.
        quick: Of an experiment with few jobs, and once.
    """
    del threads
    repeats = 1 if quick else min(repeats, 3)
    found: dict[str, Any] = {"plan": plan(2 if quick else SHARDS, repeats)}
    if quick and NOTHING not in _run(ROOT, "--dry-run"):
        return found  # a smoke test needs no results
    found["noop"] = noop(repeats)
    planning = found["noop"]["seconds"]["median"]
    found["run"] = recorded_run(ROOT / f"results/{EXPERIMENT}", planning)
    return found


def noop(repeats: int) -> dict[str, Any]:
    """Seconds of ``./run`` with nothing to do.

    Raises:
        UserError: If there is something to do, which this must not start.
    """
    if NOTHING not in _run(ROOT, "--dry-run"):
        raise UserError(f"{EXPERIMENT} is not up to date; `./run` first, then `./run bench` again")
    turns = timing.interleaved({"noop": lambda: _run(ROOT)}, repeats)
    return {"seconds": timing.summary(turns["noop"])}


def plan(shards: int, repeats: int) -> dict[str, Any]:
    """Seconds of ``./run E -n`` in a copy without results; E is digits with many more shards."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "repository")
        _copy(copy)
        experiments = copy / "config/experiments"
        text = (experiments / f"{EXPERIMENT}.yaml").read_text(encoding="utf-8")
        models = int(re.search(r"models_per_job: (\d+)", text)[1]) * shards // 2
        text, changed = re.subn(
            r"eval: \{models: \d+, seeds: \d+\}", f"eval: {{models: {models}, seeds: 2}}", text
        )
        if changed != 1:
            raise UserError(
                f"{EXPERIMENT}.yaml has no line `eval: {{models: M, seeds: R}}` in subsets; adapt "
                "benchmarks/orchestration.py to it"
            )
        (experiments / "planned.yaml").write_text(text, encoding="utf-8")
        jobs = int(re.search(r"^total +(\d+)$", _run(copy, "planned", "-n"), re.M)[1])
        turns = timing.interleaved({"plan": lambda: _run(copy, "planned", "-n")}, repeats)
    return {"jobs": jobs, "seconds": timing.summary(turns["plan"])}


def recorded_run(folder: Path, planning: float = 0.0, cores: int | None = None) -> dict[str, Any]:
    """Where the wall time x cores of a run went, from its records.

    Args:
        folder: ``results/<experiment>`` with provenance.json and runtimes.json.
        planning: Seconds before the first job.
        cores: Of the run; None: of this machine.

    Returns:
        wall_seconds (planning included, pauses longer than ``PAUSE`` left out), cores, jobs,
        in_loops (share), and core seconds by use: loops, starting (the jobs that hold loops),
        other_jobs, idle.
    """
    cores = cores or len(os.sched_getaffinity(0))
    manifest = json.loads((folder / "provenance.json").read_text())
    runtimes = json.loads((folder / "runtimes.json").read_text())
    jobs = timings.jobs(manifest, runtimes).sort_values("start")
    jobs["seconds"] = jobs.end - jobs.start
    loops = jobs[jobs.rule.map(_script).notna()]
    scripts = loops.rule.map(_script)
    start_up = {script: starting(script, cores) for script in scripts.unique()}
    beginning = scripts.map(start_up).clip(upper=loops.seconds)
    wall, pauses = _wall(list(zip(jobs.start, jobs.end, strict=True)))
    wall += planning
    used = {
        "loops": float((loops.seconds - beginning).sum()),
        "starting": float(beginning.sum()),
        "other_jobs": float(jobs.seconds.sum() - loops.seconds.sum()),
    }
    return {
        "wall_seconds": wall,
        "pauses": pauses,
        "cores": cores,
        "jobs": len(jobs),
        "in_loops": used["loops"] / (wall * cores),
        "core_seconds": {**used, "idle": wall * cores - sum(used.values())},
        "start_up": start_up,
    }


def starting(script: str, processes: int) -> float:
    """Seconds that a script takes to start when as many start at once: it prints its help."""
    command = [sys.executable, f"scripts/{script}.py", "--help"]

    def once(_: int) -> float:
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, check=True)
        return time.perf_counter() - start

    with concurrent.futures.ThreadPoolExecutor(processes) as pool:
        return statistics.median([s for _ in range(2) for s in pool.map(once, range(processes))])


def _script(rule: str) -> str | None:
    """train_subsets of train_subsets_eval_digits; None for a rule without loops."""
    return next((name for name in LOOPS if rule == name or rule.startswith(f"{name}_")), None)


def _wall(spans: Sequence[tuple[float, float]]) -> tuple[float, int]:
    """Seconds from the first start to the last end without pauses, and the number of these."""
    total, pauses = 0.0, 0
    reached = spans[0][0]
    for start, end in spans:
        if start - reached > PAUSE:
            pauses += 1
            reached = start
        total += max(0.0, end - reached)
        reached = max(reached, end)
    return total, pauses


def _copy(target: Path) -> None:
    """The repository's own files, without results."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def _environment() -> Mapping[str, str]:
    """The environment that is active, for ./run as well, and the package of the checkout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return os.environ | {"DAS_ENV": "active", "PATH": path, "PYTHONPATH": str(ROOT / "src")}


def _run(folder: Path, *words: str) -> str:
    """All that ``./run`` prints."""
    environment = {**_environment()}
    environment.pop("PYTHONPATH")
    done = subprocess.run(
        ["./run", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"./run {' '.join(words)} failed: {done.stderr.strip()[-500:]}")
    return done.stdout + done.stderr


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Flat results."""
    one = details["1"]
    results = {"plan_1000_jobs_seconds": one["plan"]["seconds"]["median"]}
    if "run" in one:
        results["training_share_of_run"] = one["run"]["in_loops"]
        results["noop_seconds"] = one["noop"]["seconds"]["median"]
    return results
