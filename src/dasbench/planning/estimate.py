"""``./run estimate E``: predicted jobs, hours, memory and storage of an experiment.

Snakemake plans the jobs (``dasbench.planning.planned_jobs``). The work of one job
(``dasbench.planning.rule_costs``) and the storage follow from the experiment file. Seconds follow
from the measured seconds of finished runs (``dasbench.planning.rates``). With ``--gpu`` they follow
from an assumed GPU.

A prediction for another network on the same processor scales with its operations. It is too long
for large networks, because the measured small ones use a processor less well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dasbench.core.yaml_schema import read_yaml
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.experiments.image_shapes import shape_for
from dasbench.planning import planned_jobs, preflight, rates, rule_costs, storage
from dasbench.planning.job_cost import Cost, Jobs, is_device, on_device
from dasbench.planning.workload import Workload

HOUR = 3600
GB = 1e9


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command_line = argparse.ArgumentParser(
        prog="./run estimate", description=__doc__, allow_abbrev=False
    )
    command_line.add_argument(
        "experiment", nargs="*", help="names of experiments, or paths of their files"
    )
    command_line.add_argument("--shape", type=_shape, help="CHANNELS,HEIGHT,WIDTH of the images")
    command_line.add_argument("--gpu", action="store_true", help="networks run on an assumed GPU")
    command_line.add_argument(
        "--tflops",
        type=float,
        help=f"10^12 operations a second that a GPU sustains; assumed {rates.Gpu().tflops:g}",
    )
    command_line.add_argument("--json", action="store_true", help="numbers for programs")
    command_line.add_argument(
        "--write", metavar="PAGE", help="put the tables between PAGE's markers"
    )
    command_line.add_argument(
        "--measure", action="store_true", help=f"write {rates.FILE} from finished runs"
    )
    return command_line


def _shape(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"[1-9]\d*,[1-9]\d*,[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text} is not CHANNELS,HEIGHT,WIDTH such as 3,32,32")
    return tuple(int(part) for part in text.split(","))


def main(arguments: Sequence[str], root: str | Path = ".") -> int:
    """Answer one call of ``./run estimate``.

    Raises:
        UserError: If an experiment is unknown or broken, or nothing was measured.
    """
    args = parser().parse_intermixed_args(arguments)
    if args.tflops is not None and not args.tflops > 0:
        raise UserError(f"--tflops is {args.tflops:g}, expected a positive number")
    if args.measure:
        return measure(root, args.experiment)
    gpu = rates.Gpu(args.tflops or rates.Gpu().tflops) if args.gpu or args.tflops else None
    known = rates.load(Path(root, rates.FILE))
    files = [file_of(name, root) for name in args.experiment or ["digits"]]
    experiments = [load(file, root) for file in files]
    shown = {e["name"]: str(file) for e, file in zip(experiments, files, strict=True)}
    preflight.check(experiments, root, shown)
    works = [Workload(e, args.shape or shape_for(e, root)) for e in experiments]
    contents = [read_yaml(file, str(file)) for file in files]
    planned = planned_jobs.count(root, experiments, contents)
    plans = [plan(work, jobs, known, gpu) for work, jobs in zip(works, planned, strict=True)]
    if args.json:
        print(json.dumps(plans, indent=1))
        return 0
    text = "\n\n".join(page(p, known, gpu) for p in plans)
    if args.write:
        write(args.write, text)
    else:
        print(text)
    return 0


def file_of(name: str, root: str | Path) -> Path:
    """The file of an experiment, from its name or from a path relative to the user's folder.

    Raises:
        UserError: If neither exists.
    """
    if name in config.names(root) or not name.endswith((".yaml", ".yml")):
        return Path(root, config.FOLDER, f"{config.load(name, root)['name']}.yaml")
    path = Path(os.environ.get("DASBENCH_CALLER_FOLDER", "."), name)
    if not path.is_file():
        raise UserError(f"{name} does not exist; expected an experiment or the path of its file")
    return path


def load(file: Path, root: str | Path) -> config.Experiment:
    """The experiment of a file, in the repository or elsewhere."""
    if file.parent == Path(root, config.FOLDER):
        return config.load(file.stem, root)
    return config.load_file(file, root)


def plan(
    work: Workload, jobs: Sequence[Jobs], known: rates.Rates, gpu: rates.Gpu | None = None
) -> dict[str, Any]:
    """The numbers: one row per rule, totals, storage in bytes.

    Args:
        work: The experiment's sizes.
        jobs: Its planned jobs, from ``dasbench.planning.planned_jobs``.
        known: Rates of a measured machine.
        gpu: The assumed GPU that runs networks; None for a processor core.
    """
    costs = rule_costs.of(work)
    place = {family: i for i, family in enumerate(costs)}
    jobs = sorted(jobs, key=lambda planned: place[planned.family])
    rows = [_row(planned, costs[planned.family], known, gpu) for planned in jobs]
    models = sum(planned.jobs * costs[planned.family].models for planned in jobs)
    pairs = [pair for j in jobs for pair in rates.kinds_of(costs[j.family], known.rate).items()]
    return {
        "experiment": work.name,
        "parent": work.experiment["parent"],
        "shape": list(work.shape),
        "parameters": work.model.parameters,
        "flops": work.model.flops,
        "models": models,
        "jobs": sum(row["jobs"] for row in rows),
        "core_seconds": sum(row["seconds"] for row in rows if not row["device"]),
        "gpu_seconds": sum(row["seconds"] for row in rows if row["device"]),
        "storage": storage.folders(work, models),
        "rules": rows,
        # kinds of work that were never measured
        "borrowed": sorted({f"{kind} (as {other})" for kind, other in pairs if kind != other}),
    }


def _row(planned: Jobs, cost: Cost, known: rates.Rates, gpu: rates.Gpu | None) -> dict[str, Any]:
    """The numbers of one rule: seconds and operations of all its jobs, requests of one."""
    return {
        "rule": planned.rule,
        "jobs": planned.jobs,
        "seconds": planned.jobs * known.seconds(cost, gpu),
        "device": bool(gpu) and on_device(cost),
        "mem_mb": known.mem_mb(cost),
        "runtime": known.runtime(cost, gpu),
        "flops": planned.jobs * sum(v for k, v in cost.work.items() if is_device(k)),
    }


def page(p: dict[str, Any], known: rates.Rates, gpu: rates.Gpu | None) -> str:
    """The tables of one plan as Markdown, which is also printed to the terminal.

    Args:
        p: From ``plan``.
        known: Rates of a measured machine.
        gpu: The assumed GPU, or None.
    """
    total = sum(p["storage"].values())
    hours = [f"**{p['core_seconds'] / HOUR:,.1f} core hours**"]
    if gpu:
        hours.append(f"**{p['gpu_seconds'] / HOUR:,.1f} GPU hours**")
    lines = [
        f"`{p['experiment']}`: **{p['jobs']:,} jobs**, {' and '.join(hours)}, "
        f"**{total / GB:,.2f} GB** of results, of these {p['storage']['features'] / GB:,.2f} GB "
        f"features; {p['models']:,} models of {p['parameters']:,} parameters, "
        f"{p['flops'] / 1e9:,.3g} GFLOP per image and forward pass.",
        "",
        "| rule | jobs | hours | requested MB | requested minutes |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in p["rules"]:
        shown = f"{row['seconds'] / HOUR:,.2f}{' GPU' if row['device'] else ''}"
        lines.append(
            f"| `{row['rule']}` | {row['jobs']:,} | {shown} | {row['mem_mb']:,} | "
            f"{row['runtime']:,} |"
        )
    lines += ["", "| folder | GB |", "|---|---:|"]
    lines += [f"| `{name}` | {size / GB:,.3f} |" for name, size in p["storage"].items()]
    return "\n".join([*lines, "", "\n\n".join(_basis(p, known, gpu))])


def _basis(p: dict[str, Any], known: rates.Rates, gpu: rates.Gpu | None) -> list[str]:
    """Sentences on the source of the hours: measured runs, an assumed GPU, replaced rates."""
    runs = " and ".join(f"`{name}`" for name in sorted(known.observed))
    lines = [f"Measured: {runs} on {known.machine} ({rates.FILE})."]
    if gpu:
        lines.append(
            f"Assumed, not measured: a GPU that sustains {gpu.tflops:g} TFLOP/s and takes "
            f"{gpu.call:g} s for a batch at least (`--tflops`)."
        )
    lines += [f"Never measured, so taken as something else: {kind}." for kind in p["borrowed"]]
    if p["parent"]:
        lines.append(f"The models and outputs of `{p['parent']}` come on top, unless made already.")
    return lines


def write(path: str | Path, text: str) -> None:
    """Replace the text between a page's markers ``estimate:begin`` and ``estimate:end``.

    Raises:
        UserError: If the page has no markers.
    """
    page_path = Path(os.environ.get("DASBENCH_CALLER_FOLDER", "."), path)
    content = page_path.read_text(encoding="utf-8")
    pattern = r"(<!-- estimate:begin -->\n).*?(<!-- estimate:end -->)"
    if not re.search(pattern, content, flags=re.S):
        raise UserError(f"{path} has no <!-- estimate:begin --> and <!-- estimate:end -->")
    new = re.sub(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", content, flags=re.S)
    page_path.write_text(new, encoding="utf-8")


def measure(root: str | Path, names: Sequence[str]) -> int:
    """Write the rates of this machine, from the costs of finished experiments.

    Raises:
        UserError: If one of ``names`` is not finished, or no experiment is.
    """
    import csv

    costs = {name: Path(root, "results", name, "costs.csv") for name in names or config.names(root)}
    finished = [name for name, file in costs.items() if file.is_file()]
    for name in names:
        if name not in finished:
            raise UserError(f"{name} has not been made here; run `./run {name}` first")
    if not finished:
        raise UserError("no experiment has been made here; `./run smoke` makes the smallest")
    experiments = [config.load(name, root) for name in finished]
    contents = [read_yaml(file_of(name, root), name) for name in finished]
    planned, observed = planned_jobs.count(root, experiments, contents), {}
    for experiment, jobs in zip(experiments, planned, strict=True):
        name = experiment["name"]
        work = Workload(experiment, shape_for(experiment, root))
        with costs[name].open(encoding="utf-8") as file:
            rows = [row | {"peak_mb": row["peak_mb"] or "nan"} for row in csv.DictReader(file)]
        observed[name] = rates.observe(rule_costs.of(work), jobs, rows)
    fitted = rates.fit(observed, rates.machine())
    rates.save(Path(root, rates.FILE), fitted)
    for name, rules in observed.items():
        seconds = sum(row["seconds"] for row in rules.values())
        print(f"{name}: {len(rules)} rules, {seconds / HOUR:.2f} core hours measured")
    print(f"written to {rates.FILE}")
    return 0
