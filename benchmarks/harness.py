"""Run the parts, each in a process of its own and once per thread count; keep what they found.

``results.json`` holds the flat numbers, ``details.json`` all of them, with the machine on which
each part was measured. A run of some parts leaves the numbers of the others as they are.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.machine import ROOT
from dasbench.core.writing import write_text
from dasbench.errors import UserError
from dasbench.sharing import launch

BUSY = 0.5  # load per core from which on timings are doubtful


class Part(NamedTuple):
    """One comparison.

    Attributes:
        title: What it compares.
        threads: Thread counts it is run with.
    """

    title: str
    threads: tuple[int, ...] = (1, 2)


PARTS = {
    "features": Part("features against a training step and the released approach"),
    "readouts": Part("several readouts from one forward pass"),
    "damping_path": Part("damping path against float32 inverses"),
    "score_memory": Part("memory of the score engine", (1,)),
    "scaling": Part("time and memory against N, T and P", (1,)),
    "evaluation": Part("measuring the subset models against training them", (1,)),
    "orchestration": Part("planning, doing nothing, and where a run's time goes", (1,)),
    "paper_scale": Part("operations of the paper's cifar10", (1,)),
    "index": Part("an index of 60 000 images: building it and asking it", (1,)),
    "device": Part("the engine on the accelerator of this machine", (1,)),
    "calibration": Part("q-values from decoys on half-models of digits", (1,)),
}
NAMED = ("index", "device", "calibration")  # parts that run only if they are named
KEYS = (
    "features_vs_training_step_digits",
    "features_vs_training_step_fashion",
    "features_vs_released_digits",
    "features_vs_released_fashion",
    "features_vs_released_t1",
    "damping_path_vs_released",
    "training_share_of_run",
    "noop_seconds",
    "plan_1000_jobs_seconds",
    "lds_evaluation_share_of_training",
    "index_vs_training_step",
    "index_peak_gb",
    "index_disk_gb",
    "ask_one_seconds",
    "ask_hundred_seconds",
)


def run(names: Sequence[str], folder: Path, repeats: int, quick: bool) -> dict[str, str]:
    """Measure parts one after the other and merge what they found into ``folder``.

    Args:
        names: Of ``PARTS``.
        folder: Where results.json and details.json are.
        repeats: Turns that count, in each part.
        quick: Tiny sizes, one thread.

    Returns:
        Part -> what went wrong, for parts that failed; their old numbers stay.
    """
    failed = {}
    for number, name in enumerate(names, start=1):
        print(f"[{number}/{len(names)}] {name}: {PARTS[name].title}", flush=True)
        about = machine.describe() if quick else _when_quiet()
        if about["load"] > BUSY * about["cores"]:
            print(f"  the machine is busy (load {about['load']:.1f}): timings are doubtful")
        try:
            by_threads = {
                str(threads): _apart(name, threads, repeats, quick)
                for threads in (PARTS[name].threads if not quick else (1,))
            }
        except UserError as error:
            failed[name] = str(error)
            print(f"  failed: {error}", flush=True)
            continue
        keep(folder, name, about, by_threads)
    return failed


def _when_quiet(patience: float = 180.0) -> dict[str, Any]:
    """The machine once the load of the part before has faded, or when patience ends."""
    end = time.monotonic() + patience
    while (about := machine.describe())["load"] > BUSY * about["cores"] and time.monotonic() < end:
        time.sleep(5)
    return about


def keep(
    folder: Path, name: str, about: Mapping[str, Any], by_threads: Mapping[str, dict[str, Any]]
) -> None:
    """Merge one part into details.json and results.json."""
    details = load(folder, "details")
    details[name] = {"machine": about, "threads": by_threads}
    results = load(folder, "results") | flat(name, by_threads)
    ordered = {key: results[key] for key in KEYS if key in results}
    for kind, content in (("details", details), ("results", ordered)):
        write_text(folder / f"{kind}.json", json.dumps(content, indent=1) + "\n")


def load(folder: Path, kind: str) -> dict[str, Any]:
    """details.json or results.json, or nothing yet."""
    file = folder / f"{kind}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def flat(name: str, by_threads: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Flat numbers of one part; one thread where nothing else is said."""
    if name == "damping_path":
        return {"damping_path_vs_released": by_threads["1"]["speedup_per_transform"]}
    if name == "score_memory":
        return {}
    return importlib.import_module(f"benchmarks.{name}").flat(by_threads)


def _apart(name: str, threads: int, repeats: int, quick: bool) -> dict[str, Any]:
    """Measure in a new process, which starts with these thread counts."""
    keys = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = launch.MEMORY | os.environ | dict.fromkeys(keys, str(threads))
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        words = [name, str(threads), str(repeats), str(int(quick)), str(answer)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.harness", *words],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"{name} with {threads} threads ended with: {last}")
        return json.loads(answer.read_text(encoding="utf-8"))


def _measure(name: str) -> Callable[[int, int, bool], dict[str, Any]]:
    """The part's function of (threads, repeats, quick)."""
    module = importlib.import_module(f"benchmarks.{name}")
    if name == "damping_path":
        return lambda threads, _, quick: module.measure(  # a turn takes a minute
            threads, 1, 0.01 if quick else 1.0
        )
    if name == "score_memory":
        return lambda threads, _, quick: module.measure(
            *((500, 64, 20) if quick else (50_000, 4096, 2000)), threads=threads
        )
    return module.measure


def main(words: Sequence[str]) -> None:
    """The child's side: part, threads, repeats, quick, file of the answer."""
    name, threads, repeats, quick, answer = words
    found = _measure(name)(int(threads), int(repeats), bool(int(quick)))
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
