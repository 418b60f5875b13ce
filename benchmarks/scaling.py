"""How features cost and what they hold in memory as N, T and P grow.

Every point is a process of its own, so that its peak of resident memory is its own. Features are
written as the job of the workflow writes them, in chunks that are joined at the end. Slopes are of
a straight line through the logarithms: 1 is proportional, 0 is flat.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import ROOT
from benchmarks.problems import digits, feature_settings
from dasbench.core import resumable
from dasbench.core.blocks import blocks
from dasbench.diffusion import checkpoints
from dasbench.gradients.features import Extractor

EVERY = 0.005  # seconds between two looks at the memory
CHUNK = 512  # images, as in scripts/compute_features.py
USUAL = {"N": 512, "T": 2, "P": 4096}
GRIDS = {"N": (512, 1024, 4096, 8192), "T": (1, 5, 20), "P": (1024, 4096, 8192)}
QUICK = {"N": (4, 8)}


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Seconds and megabytes along each axis, the other two at their usual values.

    Args:
        threads: Of torch.
        repeats: Unused: a point is one process; the slope is over all of them.
        quick: Tiny sizes.
    """
    del repeats
    usual, found = ({"N": 4, "T": 1, "P": 1024} if quick else USUAL), {}
    for axis, values in (QUICK if quick else GRIDS).items():
        points = [{axis: value} | _point(usual | {axis: value}, threads) for value in values]
        x = [point[axis] for point in points]
        found[axis] = {
            "points": points,
            "slope_of_seconds": slope(x, [point["seconds"] for point in points]),
            "slope_of_memory": slope(x, [point["held_mb"] for point in points]),
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
    """Compute and write features once, after a warm-up on a few images."""
    checkpoints.use_threads(threads)
    problem = digits(sizes["N"])
    engine = problem.extractor(feature_settings(sizes["T"], sizes["P"]))
    engine(problem.images[:16], range(16), "train")
    before = held_mb()
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        start = time.perf_counter()
        _write(engine, problem.images, Path(folder))
        seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "held_mb": watch.most,
        "held_before_mb": before,
        "peak_mb": peak_mb(),
    }


def _write(engine: Extractor, images: np.ndarray, folder: Path) -> None:
    """What the job does with the images of one split."""
    store, slices = resumable.Store(folder, "bench"), blocks(len(images), CHUNK)
    for rows in slices:
        ids = range(len(images))[rows]
        store.save("train", rows, engine(images[rows], ids, "train")[0])
    store.join("train", slices, (len(images), engine.dimensions))
    store.clear()


class Watch(threading.Thread):
    """The most memory that is held while the context lasts, looked up every few milliseconds.

    Attributes:
        most: In MB.
    """

    def __init__(self):
        """Nothing is looked up yet."""
        super().__init__(daemon=True)
        self.most, self._over = held_mb(), threading.Event()

    def run(self) -> None:
        """Look until the context ends."""
        while not self._over.wait(EVERY):
            self.most = max(self.most, held_mb())

    def __enter__(self) -> Watch:
        """Start to look."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look a last time."""
        self._over.set()
        self.join()
        self.most = max(self.most, held_mb())


def held_mb() -> float:
    """Resident memory of this program without pages of files; elsewhere than on Linux the peak."""
    status = Path("/proc/self/status")
    found = status.is_file() and re.search(r"RssAnon:\s+(\d+) kB", status.read_text())
    return int(found[1]) * 1024 / 1e6 if found else peak_mb()


def peak_mb() -> float:
    """Peak resident memory of this program so far, pages of mapped files included.

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
