"""Peak memory and seconds of the score engine, as its jobs would have them.

One process decomposes the kernel of N x P features, one writes N x Q scores of ``das`` at one
damping, one goes over a damping path to predictions of 64 subsets. Peaks are of resident memory,
pages of mapped files included, so they are upper bounds: the system takes such pages back.

Linux only. Room for the files is needed in the temporary folder: 4 N (P + Q) + 8 min(N, P)^2 bytes.

    python benchmarks/score_memory.py [--n 50000] [--p 4096] [--q 2000] [--dampings 1] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from dasbench.attribution import decomposition, parameters
from dasbench.attribution.methods import interface
from dasbench.attribution.spectrum import Spectrum, damping_grid
from dasbench.core import memmaps
from dasbench.core.blocks import memory_blocks
from dasbench.evaluation import predictions
from dasbench.registry import METHODS

GRID = damping_grid({"mantissas": [1, 2, 5], "exponents": [-8, 0]})
SUBSETS = 64
PARTS = ("decompose", "score", "path")


def measure(n: int, p: int, q: int, dampings: int = 1, threads: int = 1) -> dict[str, float]:
    """Peak megabytes and seconds of each part, each in a process of its own.

    Args:
        n: Training examples.
        p: Feature dimensions.
        q: Queries.
        dampings: Length of the path; memory does not depend on it.
        threads: Of BLAS.

    Returns:
        n, p, q, and per part ``<part>_peak_mb`` and ``<part>_seconds``; ``idle_peak_mb`` is the
        process with its imports alone.
    """
    found = {"n": n, "p": p, "q": q, "dampings": dampings, "threads": threads}
    keys = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(keys, str(threads))
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), n, p, q)
        for part in ("idle", *PARTS):
            command = [sys.executable, __file__, "--part", part, "--folder", folder]
            command += ["--q", str(q), "--dampings", str(dampings)]
            done = subprocess.run(command, env=environment, capture_output=True, check=True)
            found |= {f"{part}_{key}": value for key, value in json.loads(done.stdout).items()}
    return found


def _write(folder: Path, n: int, p: int, q: int) -> None:
    """Features with falling eigenvalues, a block at a time."""
    rng, spread = np.random.default_rng(0), np.arange(1, p + 1, dtype=np.float32) ** -0.75
    for name, count in (("train", n), ("query", q)):
        with memmaps.create(folder / f"{name}.npy", (count, p), np.float32) as array:
            for rows in memory_blocks(count, 4 * p):
                drawn = rng.standard_normal((rows.stop - rows.start, p), np.float32)
                array[rows] = drawn * spread


def _run(part: str, folder: Path, q: int, dampings: int) -> None:
    """One part, as the script of the same rule does it."""
    train = memmaps.load(folder / "train.npy", (None, None), np.float32)
    if part == "decompose":
        decomposition.save(folder / "spectrum", decomposition.decompose(train))
        return
    n = len(train)
    decomposed = decomposition.load(folder / "spectrum", train.shape)
    inputs = interface.Inputs(
        train_images=np.zeros((n, 1, 1, 1), np.uint8),
        train_labels=np.zeros(n, np.int64),
        train_ids=np.arange(n),
        query_images=np.zeros((q, 1, 1, 1), np.float32),
        query_labels=np.zeros(q, np.int64),
        train_features=train,
        query_features=memmaps.load(folder / "query.npy", (q, None), np.float32),
        residuals=np.ones(n, np.float32),
        scores=None,
        axes=(),
        spectrum=Spectrum(train, decomposed=decomposed),
    )
    options = METHODS["das"]
    if part == "score":
        point = parameters.Point(damping=1e-4)
        interface.write_scores(folder / "scores.npy", options, inputs, point, "square")
        return
    masks = np.random.default_rng(0).random((SUBSETS, n)) < 0.5  # noqa: PLR2004
    points = parameters.dampings(GRID[:dampings])
    predictions.predict(interface.paths(options, inputs, points), masks)


def _peak() -> int:
    """Peak resident MB since this program started; ``getrusage`` would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("n", 50_000), ("p", 4096), ("q", 2000), ("dampings", 1), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--part", choices=["idle", *PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        start = time.perf_counter()
        if given.part != "idle":
            _run(given.part, given.folder, given.q, given.dampings)
        print(json.dumps({"peak_mb": _peak(), "seconds": time.perf_counter() - start}))
    else:
        sizes = (given.n, given.p, given.q, given.dampings, given.threads)
        print(json.dumps(measure(*sizes), indent=1))
