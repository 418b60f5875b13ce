"""What the workflow costs beside the work: planning, starting jobs, doing nothing.

*Loops* are what a run is for: training, measuring, sampling, features. Their time is the seconds
that the records of their own processes have (``logs/benchmark/*.tsv``), less the start-up of each,
interpreter and imports. Start-up is measured here as the processor time, user and system, of a
script that prints its help, the least of three: unlike the clock it does not wait for others. What
a job takes beyond its process, in Snakemake's records, is start-up as well.
"""

from __future__ import annotations

import concurrent.futures
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.machine import ROOT
from dasbench.errors import UserError
from dasbench.reports import cost_page
from dasbench.sharing import launch

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
    "compute_journeys",
    "compute_ekfac",
    "compute_unlearning",
)
STARTS = 3  # of each script, for the least
PAUSE = 60.0  # seconds without any job: longer ones lie between two runs
SHARDS = 700  # of evaluation models, one job to train each, one to measure a few
NOTHING = "Nothing to be done"


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds of planning, and shares of a recorded run.

    Args:
        threads: Unused; Snakemake takes what the profile says.
        repeats: Of each command, at most 2.
        quick: Of an experiment with few jobs, and once.
    """
    del threads
    repeats = 1 if quick else min(repeats, 2)
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
    jobs = cost_page.jobs(manifest, runtimes).sort_values("start")
    jobs["seconds"] = jobs.end - jobs.start
    loops = jobs[jobs.rule.map(_script).notna()].copy()
    scripts = loops.rule.map(_script)
    names = scripts.unique()
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:  # as many at once as in the run
        start_up = dict(zip(names, pool.map(starting, names), strict=True))
    own = loops.log.map(_process_seconds).fillna(loops.seconds).clip(upper=loops.seconds)
    in_loops = (own - scripts.map(start_up)).clip(lower=0)
    wall, pauses = _wall(list(zip(jobs.start, jobs.end, strict=True)))
    wall += planning
    used = {
        "loops": float(in_loops.sum()),
        "starting": float((loops.seconds - in_loops).sum()),
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


def starting(script: str) -> float:
    """Processor seconds that a script takes to start, the least of ``STARTS``: it prints its help.

    User and system time of the process, so that a busy machine hardly matters.
    """
    command = [sys.executable, f"scripts/{script}.py", "--help"]

    found = []
    for _ in range(STARTS):
        process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)  # others may be waited for at the same time
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise UserError(f"{' '.join(command[1:])} failed; see above")
        found.append(usage.ru_utime + usage.ru_stime)
    return min(found)


def _process_seconds(log: str) -> float:
    """Seconds of a job's process by its benchmark file; NaN without one."""
    name = "logs/benchmark/" + log.removeprefix("logs/").removesuffix(".log") + ".tsv"
    try:
        with (ROOT / name).open(encoding="utf-8", newline="") as file:
            return float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return float("nan")


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
    return (
        launch.MEMORY
        | os.environ
        | {"DAS_ENV": "active", "PATH": path, "PYTHONPATH": str(ROOT / "src")}
    )


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
