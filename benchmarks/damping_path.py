"""The damping path: one float64 eigendecomposition against one float32 inverse per damping.

Both turn features into scores [N, Q] at 27 dampings. Ours is what the benchmark's jobs run
(``decompose`` and the path of ``das``): one decomposition, then per damping one product, from which
all three transforms are taken. The released form does, per damping, in float32: the inverse of
Phi^T Phi + lambda I, training features times the inverse, query features times the result, one
transform; the kernel itself once a run. Other transforms need runs of their own. "Frugal" is the
released form with its product in the cheaper order, queries first.

Ours is timed at all 27. Every damping of the released form costs the same, so a few are timed and
the run is their mean times 27; ``--all`` times all of them. Features are synthetic, with
eigenvalues that fall as those of gradient features do. Errors are against a float64 Cholesky
solution of the same system, relative in the Frobenius norm, rank correlation as the median over
queries.

    python benchmarks/damping_path.py [--threads 1] [--repeats 3] [--scale 1.0] [--all]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.linalg
import torch
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from dasbench.attribution import parameters, transforms
from dasbench.attribution.decomposition import decompose
from dasbench.attribution.methods import interface
from dasbench.attribution.spectrum import Spectrum, damping_grid
from dasbench.evaluation import statistics as ranks
from dasbench.registry import METHODS

SIZES = (5000, 4096, 1000)  # N, P, Q
GRID = damping_grid({"mantissas": [1, 2, 5], "exponents": [-8, 0]})
# eigenvalues as those of the features of das on digits: one 400 times the second, then a power law
FIRST, DECAY = 400, 1.5
JUDGED = (1e-8, 1e-5, 1e-2)  # dampings whose errors are reported
TIMED = 3  # dampings of the released form timed per repetition


def measure(threads: int, repeats: int, scale: float = 1.0, timed: int = TIMED) -> dict[str, float]:
    """Time both forms, interleaved, and judge their errors.

    Args:
        threads: Of BLAS and torch.
        repeats: Repetitions; medians are reported.
        scale: Of N, P and Q; 1 is the size of the issue.
        timed: Dampings of the released form timed per repetition, spread over the grid.

    Returns:
        Seconds, speed-ups (released over ours, higher is better), relative errors; flat, plain
        numbers.
    """
    n, p, q = (max(8, round(scale * size)) for size in SIZES)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            inputs = problem(n, p, q)
            chosen = GRID[np.linspace(0, len(GRID) - 1, timed).round().astype(int)]
            runs = [_once(inputs, chosen) for _ in range(repeats)]
            judged = errors(inputs, runs[-1][1])
    finally:
        torch.set_num_threads(before)
    median = {key: statistics.median(parts[key] for parts, _ in runs) for key in runs[0][0]}
    sizes = {"threads": threads, "repeats": repeats, "N": n, "P": p, "Q": q}
    return sizes | {"dampings": len(GRID), "dampings_timed": timed} | summary(median) | judged


def problem(n: int, p: int, q: int) -> interface.Inputs:
    """Features with falling eigenvalues in directions that no coordinate has to itself."""
    rng = np.random.default_rng(0)
    spread = np.arange(1, p + 1) ** (-DECAY / 2)
    spread[0] *= FIRST**0.5

    def features(count: int) -> np.ndarray:
        drawn = rng.standard_normal((count, p)) * spread
        return scipy.fft.dct(drawn, axis=1, norm="ortho").astype(np.float32)

    train, query = features(n), features(q)
    nothing = np.zeros((n, 1, 1, 1), np.uint8), np.zeros(n, int), np.arange(n)
    asked = np.zeros((q, 1, 1, 1), np.float32), np.zeros(q, int)
    residuals = rng.uniform(0.5, 1.5, n).astype(np.float32)
    return interface.Inputs(*nothing, *asked, train, query, residuals, None, ())


def ours(inputs: interface.Inputs, spectrum: Spectrum, dampings: Sequence[float]) -> None:
    """Every transform of every damping; scores are made and dropped."""
    given = inputs.__class__(**{**vars(inputs), "spectrum": spectrum})
    for _, scores in interface.path(METHODS["das"], given, parameters.dampings(dampings)):
        for name in transforms.TRANSFORMS:
            transforms.apply(scores, name)


def released(
    kernel: torch.Tensor,
    pair: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    damping: float,
    frugal: bool = False,
) -> torch.Tensor:
    """Squared scores [Q, N] in float32 at one absolute damping.

    Source: the order of operations of the score script in github.com/Jinxu-Lin/DAS.
    """
    train, query, residuals = pair
    inverse = torch.linalg.inv(kernel + damping * torch.eye(len(kernel)))
    scores = (query @ inverse) @ train.T if frugal else query @ (train @ inverse).T
    return (scores * residuals) ** 2


def _once(inputs: interface.Inputs, dampings: np.ndarray) -> tuple[dict[str, float], Spectrum]:
    """Seconds of every part, ours and theirs (at these dampings) in turn; and the spectrum."""
    parts, made = {}, {}

    def clock(name: str, call: Callable) -> None:
        start = time.perf_counter()
        made[name] = call()
        parts[name] = time.perf_counter() - start

    pair = tuple(
        torch.from_numpy(a)
        for a in (inputs.train_features, inputs.query_features, inputs.residuals)
    )
    clock("decompose", lambda: decompose(inputs.train_features))
    clock("kernel", lambda: pair[0].T @ pair[0])
    clock("rotate", lambda: Spectrum(inputs.train_features, decomposed=made["decompose"]))
    absolute = dampings * made["rotate"].scale
    for frugal in (False, True):
        name = "frugal" if frugal else "released"
        clock(name, lambda f=frugal: [released(made["kernel"], pair, d, f) for d in absolute])
        if not frugal:
            clock("path", lambda: ours(inputs, made["rotate"], GRID))
    for name in ("released", "frugal"):
        parts[name] *= len(GRID) / len(dampings)
    return parts, made["rotate"]


def summary(t: dict[str, float]) -> dict[str, float]:
    """Totals and speed-ups from the parts' seconds."""
    total = t["decompose"] + t["rotate"] + t["path"]
    run, frugal = t["kernel"] + t["released"], t["kernel"] + t["frugal"]
    count = len(transforms.TRANSFORMS)
    return {
        "decompose_seconds": t["decompose"],
        "path_seconds": t["rotate"] + t["path"],
        "ours_seconds": total,
        "released_seconds": run,
        "released_frugal_seconds": frugal,
        "speedup_one_run": run / total,
        "speedup_per_transform": count * run / total,
        "speedup_one_run_frugal": frugal / total,
        "speedup_per_transform_frugal": count * frugal / total,
    }


def errors(inputs: interface.Inputs, spectrum: Spectrum) -> dict[str, float]:
    """How far both forms are from a direct float64 solution, at the judged dampings."""
    train, query = inputs.train_features, inputs.query_features
    wide, asked = train.astype(np.float64), query.astype(np.float64)
    gram, spectrum = wide.T @ wide, spectrum.of(query)
    pair = (torch.from_numpy(train), torch.from_numpy(query))
    single, found = pair[0].T @ pair[0], {}
    for damping in JUDGED:
        absolute = damping * spectrum.scale
        system = gram + absolute * np.eye(len(gram))
        factor = scipy.linalg.cho_factor(system, overwrite_a=True, check_finite=False)
        truth = wide @ scipy.linalg.cho_solve(factor, asked.T, check_finite=False)  # [N, Q]
        inverse = torch.linalg.inv(single + absolute * torch.eye(len(single)))
        theirs = (pair[1] @ (pair[0] @ inverse).T).numpy().T.astype(np.float64)
        for name, scores in (("float32", theirs), ("float64", spectrum.inner(damping))):
            error = np.linalg.norm(scores - truth) / np.linalg.norm(truth)
            found[f"{name}_error_{damping:.0e}"] = float(error)
            agreed = ranks.spearman(scores, truth) if np.isfinite(scores).all() else np.nan
            found[f"{name}_rank_correlation_{damping:.0e}"] = float(np.median(agreed))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of N, P and Q")
    parser.add_argument("--all", action="store_true", help="time every released damping, not a few")
    given = parser.parse_args()
    count = len(GRID) if given.all else TIMED
    print(json.dumps(measure(given.threads, given.repeats, given.scale, count), indent=1))
