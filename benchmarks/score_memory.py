"""Peak memory and seconds of the score engine, as its jobs would have them.

One process decomposes the kernel of N x P features, one writes N x Q scores of ``das`` at one
damping, one goes over a damping path to predictions of 64 subsets. With T timesteps, the same for
``das_stepwise``, whose jobs decompose T kernels themselves. Peaks are of resident memory, pages of
mapped files included, so they are upper bounds: the system takes such pages back. Of T timesteps
these are up to 4 N T P bytes, since a file is checked when it is mapped; what the jobs hold
themselves does not grow with T.

Linux only. Room for the files is needed in the temporary folder: 4 N (T P + Q) + 8 min(N, P)^2
bytes.

    python benchmarks/score_memory.py [--n 50000] [--p 4096] [--q 2000] [--timesteps 0]
        [--dampings 1] [--threads 1]
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
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from dasbench.attribution import decomposition, parameters
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.methods import interface
from dasbench.attribution.spectrum import Spectrum, damping_grid
from dasbench.core import memmaps
from dasbench.core.blocks import memory_blocks
from dasbench.evaluation import predictions
from dasbench.registry import METHODS

GRID = damping_grid({"mantissas": [1, 2, 5], "exponents": [-8, 0]})
SUBSETS = 64
PARTS = ("decompose", "score", "path")


def measure(
    n: int, p: int, q: int, dampings: int = 1, threads: int = 1, timesteps: int = 0
) -> dict[str, float]:
    """Peak megabytes and seconds of each part, each in a process of its own.

    Args:
        n: Training examples.
        p: Feature dimensions.
        q: Queries.
        dampings: Length of the path; memory does not depend on it.
        threads: Of BLAS.
        timesteps: T kernels, each of its own timestep; 0: one kernel.

    Returns:
        The arguments, and per part ``<part>_peak_mb`` and ``<part>_seconds``; ``idle_peak_mb`` is
        the process with its imports alone.
    """
    found = {"n": n, "p": p, "q": q, "dampings": dampings, "threads": threads}
    found |= {"timesteps": timesteps} if timesteps else {}
    keys = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(keys, str(threads))
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), n, p, q, max(1, timesteps))
        for part in ("idle", *PARTS[bool(timesteps) :]):
            command = [sys.executable, __file__, "--part", part, "--folder", folder]
            command += ["--timesteps", str(timesteps), "--dampings", str(dampings)]
            done = subprocess.run(command, env=environment, capture_output=True, check=True)
            found |= {f"{part}_{key}": value for key, value in json.loads(done.stdout).items()}
    return found


def _write(folder: Path, n: int, p: int, q: int, timesteps: int) -> None:
    """Features [T, n, P] with falling eigenvalues, a block at a time."""
    rng, spread = np.random.default_rng(0), np.arange(1, p + 1, dtype=np.float32) ** -0.75
    for name, count in (("train", n), ("query", q)):
        with memmaps.create(folder / f"{name}.npy", (timesteps, count, p), np.float32) as array:
            for rows in memory_blocks(count, 4 * p * timesteps):
                drawn = rng.standard_normal((timesteps, rows.stop - rows.start, p), np.float32)
                array[:, rows] = drawn * spread


def _run(part: str, folder: Path, apart: bool, dampings: int) -> None:
    """One part, as the script of the same rule does it."""
    train, query = (
        memmaps.load(folder / f"{name}.npy", (None,) * 3, np.float32) for name in ("train", "query")
    )
    if part == "decompose":
        decomposition.save(folder / "spectrum", decomposition.decompose(train[0]))
        return
    options = METHODS["das_stepwise" if apart else "das"]
    given = _by_timestep(train, query) if apart else _averaged(train[0], query[0], folder)
    (_, n, _), q = train.shape, query.shape[1]
    inputs = interface.Inputs(
        train_images=np.zeros((n, 1, 1, 1), np.uint8),
        train_labels=np.zeros(n, np.int64),
        train_ids=np.arange(n),
        query_images=np.zeros((q, 1, 1, 1), np.float32),
        query_labels=np.zeros(q, np.int64),
        residuals=np.ones(n, np.float32),
        scores=None,
        axes=(),
        **given,
    )
    if part == "score":
        request = interface.Request(inputs, [parameters.Point(damping=1e-4)])
        interface.write_scores(folder, options, {"scores": request}, "square")
        return
    masks = np.random.default_rng(0).random((SUBSETS, n)) < 0.5  # noqa: PLR2004
    request = interface.Request(inputs, parameters.dampings(GRID[:dampings]))
    predictions.predict(interface.blocks(options, {"val": request}), masks)


def _averaged(train: np.ndarray, query: np.ndarray, folder: Path) -> dict[str, Any]:
    """The inputs of a method with one kernel, which another job has decomposed."""
    decomposed = decomposition.load(folder / "spectrum", train.shape)
    spectrum = Spectrum(train, decomposed=decomposed)
    return {"train_features": train, "query_features": query, "spectrum": spectrum}


def _by_timestep(train: np.ndarray, query: np.ndarray) -> dict[str, Any]:
    """The inputs of a method with a kernel for each timestep."""
    features = {"train_features": None, "query_features": None, "query_timesteps": query}
    return features | {"spectrum": Spectra(train)}


def _peak() -> int:
    """Peak resident MB since this program started; ``getrusage`` would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    defaults = {"n": 50_000, "p": 4096, "q": 2000, "dampings": 1, "threads": 1, "timesteps": 0}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--part", choices=["idle", *PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        start = time.perf_counter()
        if given.part != "idle":
            _run(given.part, given.folder, bool(given.timesteps), given.dampings)
        print(json.dumps({"peak_mb": _peak(), "seconds": time.perf_counter() - start}))
    else:
        print(json.dumps(measure(*(getattr(given, name) for name in defaults)), indent=1))
