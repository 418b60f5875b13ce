"""The progress lines of a run: its phases, the number of trained models, and the time left.

``State`` follows Snakemake's events and turns them into text. The terminal and the clock belong to
``snakemake_logger_plugin_dasbench``. The module imports only the standard library and light modules
of the package, because Snakemake loads every installed logger, also those that a run does not use.

    time left = predicted seconds of the unfinished jobs * pace / number of jobs that run at once,

where the *pace* is the measured over the predicted seconds of the finished jobs. Predictions come
from ``dasbench.planning.rates``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dasbench.experiments import figure_table

# phase -> families of jobs; progress lines name the phases in this order
PHASES = {
    "data": (
        "prepare_pool",
        "read_images",
        "choose_examples",
        "split_examples",
        "encode_latents",
        "embed_prompts",
    ),
    "base model": ("train_base", "import_base"),
    "subset models": ("train_subsets_tune", "train_subsets_eval"),
    "queries": ("make_queries",),
    "features": (
        "compute_features",
        "compute_timesteps",
        "compute_readouts",
        "decompose",
        "compute_residuals",
        "compute_ekfac",
        "compute_unlearning",
        "compute_influence",
        "compute_member",
        "compute_ensemble",
        "compute_journeys",
        "compute_embeddings",
    ),
    "outputs": ("measure_outputs", "gather_outputs"),
    "scores": (
        "select_damping",
        "fix_damping",
        "take_parameters",
        "rank_by_tuning",
        "score",
        "score_kind",
        "check_scores",
    ),
    "LDS": ("predict_floor", "evaluate_lds", "summarise_lds"),
    "costs": ("time_methods", "relate_costs"),
    "ablation": ("evaluate_cells", "summarise_ablation"),
    "replicates": ("summarise_replicates",),
    "ensembles": ("explore_member", "rank_ensembles", "bound_additive"),
    "timestep grids": ("measure_grids", "compare_grids"),
    "replay": (
        "train_replay_whole",
        "train_replay_masks",
        "measure_replay",
        "compute_magic",
        "evaluate_replay",
    ),
    "dampings": (
        "finetune_halves",
        "measure_finetuned",
        "compare_dampings",
        "summarise_dampings",
    ),
    "groups": (
        "choose_groups",
        "train_groups_whole",
        "train_groups_rest",
        "measure_groups",
        "summarise_groups",
        "compare_truths",
    ),
    "trajectory": ("measure_trajectory", "evaluate_trajectory"),
    "adaptation": ("measure_adaptation",),
    "retrieval": ("evaluate_retrieval", "evaluate_credit"),
    "removal": (
        "choose_removals",
        "choose_bottom",
        "train_removal_methods",
        "train_removal_random",
        "train_removal_null",
        "measure_removal",
        "embed_removals",
        "summarise_removal",
        "summarise_embedded_removal",
    ),
    "report": (
        *(drawing.rule for drawing in figure_table.DRAWINGS),
        "tabulate_lds",
        "write_metrics",
        "gather_explorer",
        "render_report",
        "render_examples",
    ),
}
_PHASE_OF = {family: phase for phase, families in PHASES.items() for family in families}
SHOWN_LINES, SHOWN_WIDTH = 12, 600


class Kind(NamedTuple):
    """The jobs of one rule.

    Attributes:
        phase: Phase of the rule, or None for a target, which only names other jobs.
        seconds: Predicted seconds of one job.
        models: Number of models that one job trains.
    """

    phase: str | None
    seconds: float
    models: int


def kind_of(rule: str, known: Mapping[str, tuple[float, int]]) -> Kind:
    """Phase, seconds and models of a rule.

    Args:
        rule: Name of the rule; most end in the name of an experiment.
        known: rule -> (seconds, models), from ``predictions``.
    """
    seconds, models = known.get(rule, (0.0, 0))
    fitting = [family for family in _PHASE_OF if rule == family or rule.startswith(f"{family}_")]
    return Kind(_PHASE_OF[max(fitting, key=len)] if fitting else None, seconds, models)


def predictions(root: str | Path, planned: Iterable[str]) -> dict[str, tuple[float, int]]:
    """Predicted seconds and models of one job of each rule.

    If several experiments share a rule, the longest job counts.

    Args:
        root: Folder of the repository.
        planned: Names of rules. Only experiments in these names are read, because a job of the
            largest experiment takes a thousand times as long as a job of the smallest.

    Returns:
        rule -> (seconds, models); empty if the rates or an experiment file can't be read.
    """
    from dasbench.errors import UserError
    from dasbench.experiments import config
    from dasbench.experiments.image_shapes import shape_for
    from dasbench.planning import rates, rule_costs
    from dasbench.planning.workload import Workload

    predicted: dict[str, tuple[float, int]] = {}
    try:
        known = rates.load(Path(root, rates.FILE))
        experiments = config.load_sound(root)[0]
    except UserError:
        return {}  # Snakemake reports the error; without predictions no time left is shown
    rules = list(planned)
    for name in _named(rules, experiments):
        try:
            work = Workload(experiments[name], shape_for(experiments[name], root))
        except UserError:
            continue
        for family, cost in rule_costs.of(work).items():
            seconds = known.seconds(cost)
            for rule in {family, f"{family}_{name}"}.intersection(rules):
                predicted[rule] = (max(seconds, predicted.get(rule, (0.0, 0))[0]), cost.models)
    return predicted


def _named(rules: Iterable[str], names: Iterable[str]) -> set[str]:
    """Experiments in the names of rules; ``train_base_debug_cifar2`` is a rule of debug_cifar2."""
    fitting = [[n for n in names if r == n or r.endswith(f"_{n}")] for r in rules]
    return {max(matches, key=len) for matches in fitting if matches}


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:  # noqa: PLR2004
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:  # noqa: PLR2004
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class State:
    """The state of a run, from the events so far.

    Args:
        known: From ``predictions``.
    """

    def __init__(self, known: Mapping[str, tuple[float, int]]):
        """Start without events."""
        self.known = known
        self.planned: dict[str, int] = {}  # rule -> jobs
        self.done: dict[str, int] = {}
        self.running: dict[int, tuple[str, float, list[str]]] = {}  # id -> rule, start, logs
        self.spent = self.predicted = 0.0
        self.failed: dict[int, str] = {}  # id -> rule
        self.most_at_once = 1

    def plan(self, stats: Mapping[str, int]) -> None:
        """Take the number of jobs of each rule."""
        self.planned = {rule: n for rule, n in stats.items() if rule != "total"}

    def start(self, job: int, rule: str, logs: Iterable[str], now: float) -> bool:
        """Note a job's start; True if it is the first of its phase."""
        phase = self._phase(rule)
        first = phase is not None and not any(
            self._phase(r) == phase for r in [*self.done, *(j[0] for j in self.running.values())]
        )
        self.running[job] = (rule, now, list(logs))
        self.most_at_once = max(self.most_at_once, len(self.running))
        return first

    def finish(self, job: int, now: float) -> bool:
        """Note a job's end; True if its phase is complete."""
        if job not in self.running:
            return False
        rule, began, _ = self.running.pop(job)
        self.failed.pop(job, None)
        self.done[rule] = self.done.get(rule, 0) + 1
        kind = kind_of(rule, self.known)
        if kind.seconds:
            self.spent += now - began
            self.predicted += kind.seconds
        phase = kind.phase
        return phase is not None and self.count(phase)[0] == self.count(phase)[1]

    def fail(self, job: int, rule: str) -> None:
        """Note a failure; the job may be tried again."""
        self.running.pop(job, None)
        self.failed[job] = rule

    def _phase(self, rule: str) -> str | None:
        return kind_of(rule, self.known).phase

    def count(self, phase: str | None = None) -> tuple[int, int]:
        """(finished, planned) jobs of one phase, or of all; targets do not count."""
        fitting = [r for r in self.planned if (p := self._phase(r)) and phase in (None, p)]
        return sum(self.done.get(r, 0) for r in fitting), sum(self.planned[r] for r in fitting)

    def models(self, phase: str | None = None) -> tuple[int, int]:
        """(trained, planned) models; the logs of running jobs say how many these have trained."""
        kinds = {rule: kind_of(rule, self.known) for rule in self.planned}
        fitting = [r for r, k in kinds.items() if k.models and phase in (None, k.phase)]
        done = sum(self.done.get(r, 0) * kinds[r].models for r in fitting)
        done += sum(logged(logs) for r, _, logs in self.running.values() if r in fitting)
        return done, sum(self.planned[r] * kinds[r].models for r in fitting)

    def left(self, now: float) -> float | None:
        """Predicted seconds until the run ends, or None without predictions."""
        seconds = {rule: kind_of(rule, self.known).seconds for rule in self.planned}
        pace = self.pace()
        open_jobs = sum(
            seconds[r] * pace * (n - self.done.get(r, 0)) for r, n in self.planned.items()
        )
        if not open_jobs:
            return None
        for rule, began, _ in self.running.values():
            open_jobs -= min(now - began, seconds.get(rule, 0.0) * pace)
        return max(open_jobs, 0.0) / self.most_at_once

    def pace(self) -> float:
        """Measured over predicted seconds of the finished jobs; near 1 while few have finished."""
        head_start = 60.0  # seconds in both sums, so that one short job changes little
        return (self.spent + head_start) / (self.predicted + head_start)

    def prospect(self, now: float) -> str:
        """The plan in one line: jobs, models to train, predicted time."""
        total, models, left = self.count()[1], self.models()[1], self.left(now)
        parts = [f"{total} job{'s' * (total != 1)}"]
        parts += [f"{models} model{'s' * (models != 1)} to train"] if models else []
        parts += [f"about {duration(left)} on one core"] if left else []
        return ", ".join(parts)

    def phase_line(self, phase: str) -> str:
        """``subset models: 48 of 160 models``."""
        done, total = self.models(phase)
        if total:
            return f"{phase}: {done} of {total} model{'s' * (total > 1)}"
        done, total = self.count(phase)
        return f"{phase}: {done} of {total} job{'s' * (total > 1)}"

    def line(self, now: float) -> str:
        """The state in one line: jobs, running phases, time left, failures."""
        done, total = self.count()
        running = {self._phase(rule) for rule, _, _ in self.running.values()}
        parts = [f"{done} of {total} jobs"]
        parts += [self.phase_line(phase) for phase in PHASES if phase in running]
        left = self.left(now)
        parts += [f"about {duration(left)} left"] if left is not None and done < total else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return " · ".join(parts)


def logged(logs: Iterable[str]) -> int:
    """Number of models that a running job has trained, from its logs."""
    for log in logs:
        try:
            lines = Path(log).read_text(encoding="utf-8", errors="replace")[-4000:].splitlines()
        except OSError:
            continue
        numbers = [re.fullmatch(r"model (\d+) of \d+ trained", line) for line in lines]
        return max((int(match[1]) for match in numbers if match), default=0)
    return 0


def tail(log: str) -> list[str]:
    """The last lines of a log, without control characters.

    A line with ``error:`` above these lines comes first: the launcher of several processes, for
    example, writes many lines after it.
    """
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ["(no such file)"]
    lines = [re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", line) for line in text.splitlines()]
    lines = [line[:SHOWN_WIDTH] for line in lines if line.strip()]
    said = [line for line in lines[:-SHOWN_LINES] if line.startswith("error: ")][-1:]
    return [*said, *lines[-SHOWN_LINES:]] or ["(empty)"]


def failure(rule: str, logs: Iterable[str], again: str) -> str:
    """The message about a failed job: the ends of its logs, and the command to try again."""
    lines = [f"FAILED {rule}"]
    for log in logs:
        lines += [f"  {log} ends with", *(f"    | {line}" for line in tail(log))]
    return "\n".join([*lines, f"  try again: {again}"])
