"""How fast a machine is: measured seconds and memory of finished runs, and predictions from them.

``reference/rates.json`` holds the *observed* numbers of each experiment and rule: the number of
jobs, the work of one job (``dasbench.planning.rule_costs``), seconds of all jobs and peak memory.
A linear model is fitted to the seconds,

    seconds of a job = start-up of its class + sum over kinds: work * rate of the kind,

by nonnegative least squares of the relative errors. Jobs without a network and without linear
algebra have a start-up only. ``./run estimate --measure`` writes the file.
"""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dasbench.errors import UserError
from dasbench.planning.job_cost import Cost, Jobs, is_device

FILE = "reference/rates.json"
MB = 1_000_000
# requested / predicted: a job must stay below its limit on slower and busier machines too
MEMORY_MARGIN, TIME_MARGIN = 1.5, 4.0
# least request in MB and minutes: covers start-up on a busy file system, which is not measured
LEAST_MB, SHORTEST = 1000, 10
_CLASSES = {"train": "network", "forward": "network", "features": "network", "kernel": "scores"}


class Gpu(NamedTuple):
    """An assumed GPU; nothing here was measured.

    Attributes:
        tflops: Sustained 10^12 operations a second.
        call: Seconds that a batch takes at least, however small the network.
    """

    tflops: float = 20.0
    call: float = 0.02


def startup(cost: Cost) -> str:
    """Class of jobs that share a start-up: those with networks, those that score, or one rule."""
    kinds = {_CLASSES.get(kind.split(":")[0]) for kind in cost.work}
    return next((c for c in ("network", "scores") if c in kinds), cost.family)


def kinds_of(cost: Cost, rates: Mapping[str, float]) -> dict[str, str]:
    """Kind of work -> kind whose rate is used: another projection if this one is unmeasured."""
    used = {}
    for kind in cost.work:
        stem = kind.split(":")[0]
        near = [other for other in sorted(rates) if other.split(":")[0] == stem]
        used[kind] = kind if kind in rates or not near else near[0]
    return used


class Rates(NamedTuple):
    """A fitted machine.

    Attributes:
        start: Class of jobs -> seconds.
        rate: Kind of work -> seconds per unit.
        peak_mb: Class of jobs -> measured peak, less the arrays that ``workload`` counts.
        machine: Name of the measured processor, see ``machine``.
        observed: Experiment -> family -> jobs, work, seconds (all jobs), peak_mb, memory.
    """

    start: dict[str, float]
    rate: dict[str, float]
    peak_mb: dict[str, float]
    machine: str
    observed: dict[str, dict[str, dict[str, Any]]]

    def seconds(self, cost: Cost, gpu: Gpu | None = None) -> float:
        """Predicted seconds of one job on one core, or with an assumed GPU beside it."""
        used = kinds_of(cost, self.rate)
        usual = max(self.start.values(), default=0.0)
        total = self.start.get(startup(cost), 0.0 if cost.family == "target" else usual)
        on_gpu = 0.0
        for kind, amount in cost.work.items():
            if gpu and is_device(kind):
                on_gpu += amount / (gpu.tflops * 1e12)
            else:
                total += amount * self.rate.get(used[kind], 0.0)
        return total + (max(on_gpu, cost.calls * gpu.call) if gpu else 0.0)

    def mem_mb(self, cost: Cost) -> int:
        """Memory to request for a job, in MB: measured peak and counted arrays, with a margin."""
        usual = max(self.peak_mb.values(), default=500.0)
        peak = self.peak_mb.get(startup(cost), usual) + cost.memory / MB
        return max(LEAST_MB, 100 * -(-int(MEMORY_MARGIN * peak) // 100))

    def runtime(self, cost: Cost, gpu: Gpu | None = None) -> int:
        """Minutes to request for a job."""
        return max(SHORTEST, int(TIME_MARGIN * self.seconds(cost, gpu) / 60) + 1)


def fit(observed: Mapping[str, Mapping[str, Mapping[str, Any]]], machine: str = "") -> Rates:
    """Fit the linear model to observed seconds.

    Args:
        observed: As in ``Rates``.
        machine: As in ``Rates``.
    """
    import numpy as np
    from scipy.optimize import nnls

    rows = [(_cost(name, row), row) for rules in observed.values() for name, row in rules.items()]
    classes = sorted({startup(cost) for cost, _ in rows})
    kinds = sorted({kind for cost, _ in rows for kind in cost.work})
    matrix = np.zeros((len(rows), len(classes) + len(kinds)))
    for line, (cost, row) in zip(matrix, rows, strict=True):
        line[classes.index(startup(cost))] = row["jobs"]
        for kind, amount in cost.work.items():
            line[len(classes) + kinds.index(kind)] = amount * row["jobs"]
    seconds = np.array([row["seconds"] for _, row in rows])
    matrix /= seconds[:, None]
    scale = matrix.max(axis=0)  # operations are counted in 10^12, seconds are not
    coefficients = nnls(matrix / scale, np.ones(len(rows)))[0] / scale
    peaks: dict[str, float] = {}
    for cost, row in rows:
        if row["peak_mb"] is not None:
            rest = max(row["peak_mb"] - cost.memory / MB, 100.0)
            peaks[startup(cost)] = max(peaks.get(startup(cost), 0.0), rest)
    # only small jobs lack a measured peak: they get the smallest measured one
    peaks = {c: peaks.get(c, min(peaks.values(), default=500.0)) for c in classes}
    values = [float(f"{v:.6g}") for v in coefficients]
    start = dict(zip(classes, values[: len(classes)], strict=True))
    rate = dict(zip(kinds, values[len(classes) :], strict=True))
    return Rates(start, rate, {c: round(v, 1) for c, v in peaks.items()}, machine, dict(observed))


def _cost(family: str, row: Mapping[str, Any]) -> Cost:
    return Cost(family, dict(row["work"]), memory=row["memory"])


def observe(
    costs: Mapping[str, Cost], jobs: Iterable[Jobs], measured: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Join the planned jobs of an experiment with their measured seconds and memory.

    Args:
        costs: family -> cost of one job, from ``dasbench.planning.rule_costs``.
        jobs: From ``dasbench.planning.planned_jobs``.
        measured: Rows of ``costs.csv``: rule, jobs, seconds, peak_mb (NaN where not measured).

    Returns:
        family -> jobs, work and memory of one job, seconds of all, peak_mb or None. Rules whose
        jobs were not all recorded are left out.
    """
    by_rule = {row["rule"]: row for row in measured}
    observed = {}
    for planned in jobs:
        row, cost = by_rule.get(planned.rule), costs[planned.family]
        if row is None or int(row["jobs"]) != planned.jobs:
            continue
        peak = float(row["peak_mb"])
        observed[planned.family] = {
            "jobs": planned.jobs,
            "seconds": round(float(row["seconds"]), 3),
            "peak_mb": None if peak != peak else peak,  # noqa: PLR0124 (NaN)
            "memory": cost.memory,
            "work": cost.work,
        }
    return observed


def save(path: str | Path, rates: Rates) -> None:
    """Write rates as JSON."""
    Path(path).write_text(json.dumps(rates._asdict(), indent=1) + "\n", encoding="utf-8")


@functools.cache
def load(path: str | Path) -> Rates:
    """Read rates.

    Raises:
        UserError: If the file is missing or damaged.
    """
    try:
        return Rates(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); restore it with git, or write it anew with "
            "`./run estimate --measure`"
        ) from error


def machine() -> str:
    """Processor and core count of this machine."""
    import os

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores"
