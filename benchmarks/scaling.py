"""How features cost and what they hold in memory as N, T and P grow.

Every point is a process of its own, so that its peak of resident memory is its own. Slopes are of a
straight line through the logarithms: 1 is proportional, 0 is flat.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import features
from benchmarks.machine import ROOT
from benchmarks.problems import digits
from dasbench import models

USUAL = {"N": 256, "T": 2, "P": 4096}
GRIDS = {
    "N": (256, 512, 1024, 2048, 4096),
    "T": (1, 2, 5, 10, 20),
    "P": (512, 1024, 2048, 4096, 8192),
}
QUICK = {"N": (4, 8)}


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds and peak megabytes along each axis, the other two at their usual values.

    Args:
        threads: Of torch.
        repeats: Unused: a point is one process; the slope is over all of them.
        quick: Tiny sizes.
    """
    del repeats
    usual, found = ({"N": 4, "T": 1, "P": 16} if quick else USUAL), {}
    for axis, values in (QUICK if quick else GRIDS).items():
        points = [{axis: value} | _point(usual | {axis: value}, threads) for value in values]
        x = [point[axis] for point in points]
        found[axis] = {
            "points": points,
            "slope_of_seconds": slope(x, [point["seconds"] for point in points]),
            "slope_of_peak_memory": slope(x, [point["peak_mb"] for point in points]),
        }
    return {"usual": usual, "axes": found}


def slope(x: list[float], y: list[float]) -> float:
    """Of log y over log x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _point(sizes: dict[str, int], threads: int) -> dict[str, float]:
    """Seconds and peak of one process."""
    words = [f"--{axis}={value}" for axis, value in sizes.items()]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *words, f"--threads={threads}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _child(sizes: dict[str, int], threads: int) -> dict[str, float]:
    """Compute features once, after a warm-up on as few images as fill a batch."""
    models.use_threads(threads)
    warm = digits(min(sizes["N"], 16))
    features.ours(warm, 1, sizes["P"])
    problem = digits(sizes["N"])
    before = peak_mb()
    start = time.perf_counter()
    features.ours(problem, sizes["T"], sizes["P"])
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mb": peak_mb(), "before_mb": before}


def peak_mb() -> float:
    """Peak resident memory of this program so far.

    Linux's own count, where there is one: ``getrusage`` includes the program that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """The child's command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for axis in GRIDS:
        parser.add_argument(f"--{axis}", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    print(json.dumps(_child({axis: getattr(given, axis) for axis in GRIDS}, given.threads)))


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """No flat keys: slopes stand in the details."""
    del details
    return {}


if __name__ == "__main__":
    main()
