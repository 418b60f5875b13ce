"""The measured part of docs/performance.md: a table, a chart, and what stands behind them.

Only what lies between the two markers is written; the prose around them is by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import goals, machine, paper_scale
from benchmarks.harness import PARTS
from dasbench.core.writing import write_text
from dasbench.errors import UserError
from dasbench.reports.figures import style

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


BUDGET_GB = 5.0  # of a job that scores N = 50 000, Q = 2 000, P = 4096


def _value(found: Mapping[str, float], form: str = "{:.2f}") -> str:
    """Median with least and greatest."""
    ends = f"{form.format(found['min'])} to {form.format(found['max'])}"
    return f"{form.format(found['median'])} ({ends})"


def _rows(head: str, rows: Iterator[str] | list[str]) -> str:
    count = head.count("|") - 1
    return "\n".join([head, "|" + "---|" * count, *rows])


def _features(by_threads: Mapping[str, Any]) -> str:
    steps, others, drawing, exact = [], [], [], []
    for threads, sizes in by_threads.items():
        for name, size in sizes.items():
            for timesteps in size["engines"]:
                for kind, label in _engines(size):
                    head = f"| {name} | {timesteps.removeprefix('T=')} | {threads} | {label} "
                    steps.append(head + _step_row(size["engines"][timesteps], kind))
                    others.append(head + _released_row(size["released"][timesteps], kind))
            place = f"{name}, {threads} threads" if threads != "1" else f"{name}, one thread"
            exact.append(f"{_value(size['exact']['ratio'])} ({place})".replace(") (", "; "))
            drawing += [
                f"{what} {seconds:.0f} s ({place})" for what, seconds in size["drawing"].items()
            ]
    models = ", ".join(
        f"{name} has {size['parameters']:,} weights and passes of {size['batch']} noised images"
        for name, size in by_threads["1"].items()
    )
    head = "| model | timesteps | threads | oversampling "
    above = (
        f"{head}| ours, ms per image and timestep | training step | forward pass | ours / step |"
    )
    below = (
        f"{head}| ours, ms per image | released: gradients | released: dense product "
        "| released / ours |"
    )
    return "\n\n".join(
        [
            f"The flat numbers are the rows of oversampling 1; {models}.",
            _rows(above, steps),
            _rows(below, others),
            f"With exact norms, in training steps: {', '.join(exact)}.",
            f"If a call also draws the dense matrix (T = 1): {'; '.join(drawing)}.",
        ]
    )


def _engines(size: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the two engines are called in the details, and on the page."""
    return [("ours", "1"), ("own", f"{size['oversampling']} (digits.yaml)")]


def _step_row(found: Mapping[str, Any], kind: str) -> str:
    ms, ratio = found["ms"], found["ratio" if kind == "ours" else "own_ratio"]
    cells = [ms[kind], ms["training_step"], ms["forward"], ratio]
    return "| " + " | ".join(map(_value, cells)) + " |"


def _released_row(found: Mapping[str, Any], kind: str) -> str:
    ms, speedup = found["ms"], found["speedup" if kind == "ours" else "own_speedup"]
    cells = [_value(ms[name]) for name in (kind, "gradients", "product")]
    return "| " + " | ".join([*cells, _value(speedup, "{:.1f}")]) + " |"


def _readouts(by_threads: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {threads} | {m} | {_value(found['ms'])} "
        f"| {_value(found['multiple_of_one'])} | {found['limit']:.1f} |"
        for threads, sizes in by_threads.items()
        for name, counts in sizes.items()
        for m, found in counts.items()
    ]
    head = "| model | threads | readouts | ms per image and timestep | multiple of one | limit |"
    return _rows(head, rows)


def _damping_path(by_threads: Mapping[str, Any]) -> str:
    rows = [
        f"| {threads} | {one['ours_seconds']:.1f} | {one['released_seconds']:.1f} "
        f"| {one['speedup_one_run']:.1f} | {one['speedup_per_transform']:.1f} "
        f"| {one['speedup_one_run_frugal']:.1f} |"
        for threads, one in by_threads.items()
    ]
    head = (
        "| threads | ours, s | one released run, s | against one run | against one per transform "
        "| against one run, its products in the cheaper order |"
    )
    one = by_threads["1"]
    marks = [key.removeprefix("float32_error_") for key in one if key.startswith("float32_error_")]
    errors = [
        f"| {mark} | {one[f'float32_error_{mark}']:.1e} | {one[f'float64_error_{mark}']:.1e} "
        f"| {one[f'float32_rank_correlation_{mark}']:.3f} |"
        for mark in marks
    ]
    below = "| damping | relative error, float32 | float64 | rank correlation of float32 |"
    return f"{_rows(head, rows)}\n\n{_rows(below, errors)}"


def _score_memory(by_threads: Mapping[str, Any]) -> str:
    one = by_threads["1"]
    jobs = {
        "decompose": "decomposition of the kernel, float64",
        "score": "scores at one damping",
        "path": "predictions of 64 subsets at one damping",
    }
    rows = [f"| {told} | {one[f'{part}_peak_mb'] / 1e3:.1f} |" for part, told in jobs.items()]
    sizes = f"N = {one['n']:,}, Q = {one['q']:,}, P = {one['p']:,}"
    return (
        f"{sizes}, one thread; the budget is {BUDGET_GB:g} GB, pages of mapped files included.\n\n"
        f"{_rows('| job | peak GB |', rows)}"
    )


def _scaling(by_threads: Mapping[str, Any]) -> str:
    rows = []
    for axis, found in by_threads["1"]["axes"].items():
        points = found["points"]
        listed = {
            key: ", ".join(form.format(point[key]) for point in points)
            for key, form in (("seconds", "{:.2f}"), ("held_mb", "{:.0f}"), ("peak_mb", "{:.0f}"))
        }
        values = ", ".join(str(point[axis]) for point in points)
        rows.append(
            f"| {axis} = {values} | {listed['seconds']} | {found['slope_of_seconds']:.2f} "
            f"| {listed['held_mb']} | {found['slope_of_memory']:.2f} | {listed['peak_mb']} |"
        )
    usual = ", ".join(f"{axis} = {value}" for axis, value in by_threads["1"]["usual"].items())
    head = "| | seconds | slope | peak MB held | slope | with pages of files |"
    return (
        f"{_rows(head, rows)}\n\nEach row varies one number; the usual values are {usual}. "
        "Slopes are those of logarithms. The last column includes pages of files, such as the "
        "finished array, which the system can take back."
    )


def _evaluation(by_threads: Mapping[str, Any]) -> str:
    one = by_threads["1"]
    return (
        f"A job measures {one['models']} models in {_value(one['measure'])} s. One of these models "
        f"is trained in {_value(one['train_one'])} s, of which the start-up takes "
        f"{_value(one['start_up'])} s. Share: {_value(one['share'], '{:.3f}')}."
    )


def _orchestration(by_threads: Mapping[str, Any]) -> str:
    one = by_threads["1"]
    plan = f"A plan of {one['plan']['jobs']} jobs: {_value(one['plan']['seconds'])} s."
    if "run" not in one:
        return plan
    run = one["run"]
    total = run["wall_seconds"] * run["cores"]
    parts = ", ".join(
        f"{name.replace('_', ' ')} {100 * seconds / total:.1f} %"
        for name, seconds in run["core_seconds"].items()
    )
    start = run["start_up"].values()
    return (
        f"The recorded run: {run['jobs']} jobs, {run['wall_seconds'] / 60:.1f} minutes on "
        f"{run['cores']} cores. Of wall time x cores: {parts}. A job with a loop takes "
        f"{min(start):.1f} to {max(start):.1f} s to start. `./run` with nothing to do: "
        f"{_value(one['noop']['seconds'])} s. {plan}"
    )


def _paper_scale(by_threads: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {one['parameters']:,} | {one['forward'] / 1e6:,.1f} "
        f"| {one['training_step'] / 1e6:,.1f} |"
        for name, one in by_threads["1"]["operations"].items()
    ]
    head = "| model | weights | forward, million operations per image | training step |"
    return _rows(head, rows)


def _index(by_threads: Mapping[str, Any]) -> str:
    from benchmarks import index  # loads torch

    return index.section(by_threads["1"])


def _device(by_threads: Mapping[str, Any]) -> str:
    one = by_threads["1"]
    titles = {
        "features": "features, images/s at T = 1",
        "training_step": "training step, images/s",
        "tiny_models": "tiny models, models/hour",
        "kernel": "kernel in float64, 1/s",
    }
    rows = [
        f"| {title} | {variant} | {_value(rate, '{:,.3g}')} |"
        for part, title in titles.items()
        for variant, rate in one[part].items()
    ]
    where = (
        f"Measured on {one['gpu']}."
        if one["gpu"]
        else "No GPU was measured: the numbers are a CPU's."
    )
    found = one["agreement"]
    verdict = "within" if found["worst"] <= found["tolerance"] else "**outside**"
    return (
        f"{where} Scores differ from the CPU's by at most {found['worst']:.1e} of the largest, "
        f"{verdict} the tolerance of {found['tolerance']:.0e}.\n\n"
        f"{_rows('| what | variant | measured |', rows)}"
    )


def _cifar10(details: Mapping[str, Any]) -> str:
    """What the paper's cifar10 would cost at the measured speed."""
    operations = details["paper_scale"]["threads"]["1"]["operations"]
    found = paper_scale.predicted(operations, details["features"]["threads"]["1"]["fashion"])
    p = paper_scale
    return (
        f"Predicted cost of cifar10 with N = {p.EXAMPLES:,}, Q = {p.QUERIES:,}, T = {p.TIMESTEPS} "
        f"and P = {p.DIMENSIONS}: {found['ours_days']:,.0f} core days here. The released form "
        f"takes {found['released_gradients_days']:,.0f} core days for the gradients and "
        f"{found['released_product_days']:,.1f} for the dense product, whose matrix has "
        f"{found['dense_matrix_gb']:,.0f} GB. One core is assumed to be as fast as that measured "
        f"here: {found['operations_per_second'] / 1e9:.0f} billion operations a second in a "
        "training step at fashion size."
    )


def _calibration(by_threads: Mapping[str, Any]) -> str:
    return "Not a matter of speed: the numbers are in [evidence.md](evidence.md)."


SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "features": _features,
    "readouts": _readouts,
    "damping_path": _damping_path,
    "score_memory": _score_memory,
    "scaling": _scaling,
    "evaluation": _evaluation,
    "orchestration": _orchestration,
    "paper_scale": _paper_scale,
    "index": _index,
    "device": _device,
    "calibration": _calibration,
}


def block(results: Mapping[str, float], details: Mapping[str, Any]) -> str:
    """Everything between the markers."""
    parts = [
        goals.table(results, details),
        "![Measured values against their limits](performance.svg)",
    ]
    machines: dict[str, list[str]] = {}
    for name in filter(details.__contains__, PARTS):
        machines.setdefault(machine.sentence(details[name]["machine"]), []).append(name)
    for where, names in machines.items():
        parts.append(f"Measured ({', '.join(names)}) on {where}")
    for name in filter(details.__contains__, PARTS):
        title = PARTS[name].title
        heading = f"### {title[0].upper()}{title[1:]}"
        parts += [heading, SECTIONS[name](details[name]["threads"])]
    if {"features", "paper_scale"} <= set(details):
        parts.append(_cifar10(details))
    return "\n\n".join(parts)


def write(docs: Path, results: Mapping[str, float], details: Mapping[str, Any]) -> None:
    """Renew performance.md between its markers, and the chart.

    Args:
        docs: Folder with performance.md.
        results: Flat numbers.
        details: Of all parts.

    Raises:
        UserError: If the page lacks its markers.
    """
    page = docs / "performance.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{page} lacks the lines {BEGIN} and {END}; put them where numbers belong")
    style.save(goals.chart(results), [docs / "performance.svg", docs / "performance.png"])
    write_text(page, f"{before}{begin}\n{block(results, details)}\n{end}{after}")
