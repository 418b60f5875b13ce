"""What a person sees of a run: words, counts, time left, failures; on a terminal and elsewhere."""

import io
import logging
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_dasbench as plugin
from dasbench.experiments import config, image_shapes
from dasbench.planning import progress, rule_costs
from dasbench.planning.workload import Workload
from experiment_files import ROOT
from snakemake_logger_plugin_dasbench import LogHandler

KNOWN = {
    "train_base_smoke": (10.0, 1),
    "train_subsets_eval_smoke": (20.0, 4),
    "compute_features": (30.0, 0),
    "score": (1.0, 0),
}
STATS = {"train_base_smoke": 1, "train_subsets_eval_smoke": 3, "score": 2, "smoke": 1, "total": 7}


@pytest.fixture
def state():
    made = progress.State(KNOWN)
    made.plan(STATS)
    return made


def test_other_experiments_do_not_lengthen_a_prediction():
    """measure_outputs is a rule of all; a model of cifar10 takes hours, one of smoke a second."""
    small = progress.predictions(ROOT, ["smoke", "measure_outputs", "train_base_smoke"])
    both = progress.predictions(ROOT, ["smoke", "measure_outputs", "train_base_cifar10"])
    assert small["measure_outputs"][0] * 100 < both["measure_outputs"][0]
    assert "train_base_smoke" in small
    assert "train_base_cifar10" not in small
    # a name that ends with another one is not the other one's
    tiny = progress.predictions(ROOT, ["debug_cifar10", "train_base_debug_cifar10"])
    assert "train_base_cifar10" not in tiny
    assert "train_base_debug_cifar10" in tiny


def test_every_rule_has_a_phase():
    families = [family for phase in progress.PHASES.values() for family in phase]
    works = [Workload(e, image_shapes.shape_for(e, ROOT)) for e in config.load_all(ROOT).values()]
    costly = {family for work in works for family in rule_costs.of(work)}
    # make_queries_latents is known by its beginning
    assert costly - {"target", "make_queries_latents"} == set(families)
    assert len(families) == len(set(families))
    for rule in ("make_queries_latents", "train_base_smoke", "train_subsets_tune_digits"):
        assert progress.kind_of(rule, {}).phase
    assert progress.kind_of("smoke", {}).phase is None


def test_models_and_seconds_are_those_of_the_experiment():
    rules = ["train_subsets_eval_digits", "train_subsets_eval_smoke", "plot_lds", "digits"]
    known = progress.predictions(ROOT, rules)
    assert known["train_subsets_eval_digits"][1] == 8
    assert known["train_subsets_eval_digits"][0] > known["train_subsets_eval_smoke"][0]
    assert known["plot_lds"][0] > 0
    assert "digits" not in known


def test_targets_are_no_jobs_and_models_are_counted(state):
    assert state.count() == (0, 6)
    assert state.models() == (0, 1 + 3 * 4)
    state.start(1, "train_subsets_eval_smoke", [], 0.0)
    state.finish(1, 20.0)
    assert state.models("subset models") == (4, 12)
    assert state.phase_line("subset models") == "subset models: 4 of 12 models"
    assert state.phase_line("scores") == "scores: 0 of 2 jobs"


def test_models_of_a_running_job_are_read_from_its_log(state, tmp_path):
    log = tmp_path / "0.log"
    state.start(1, "train_subsets_eval_smoke", [str(log)], 0.0)
    assert state.models() == (0, 13)
    log.write_text("a warning\nmodel 1 of 4 trained\nmodel 2 of 4 trained\n")
    assert state.models() == (2, 13)


def test_first_and_last_of_a_phase(state):
    assert state.start(1, "train_subsets_eval_smoke", [], 0.0)
    assert not state.start(2, "train_subsets_eval_smoke", [], 0.0)
    assert state.start(3, "score", [], 0.0)
    assert not state.finish(1, 1.0)
    assert not state.start(4, "train_subsets_eval_smoke", [], 1.0)
    assert not state.finish(2, 1.0)
    assert state.finish(4, 1.0)
    assert not state.finish(99, 1.0)  # never heard of


def test_time_left(state):
    assert state.left(0.0) == 10 + 3 * 20 + 2 * 1
    state.start(1, "train_base_smoke", [], 0.0)
    state.start(2, "train_subsets_eval_smoke", [], 0.0)
    assert state.left(0.0) == 72 / 2
    assert state.left(5.0) == (72 - 5 - 5) / 2
    assert state.left(1e6) == (72 - 10 - 20) / 2  # a job that takes too long takes no one's time
    for job in (1, 2):
        state.finish(job, 300.0)
    assert 2 < state.pace() < 600 / 30
    assert state.left(300.0) == pytest.approx(state.pace() * 42 / 2)
    unknown = progress.State({})
    unknown.plan(STATS)
    assert unknown.left(0.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (44.6, "45 s"), (100, "2 min"), (3600, "60 min"), (11100, "3 h 05 min")],
)
def test_durations(seconds, words):
    assert progress.duration(seconds) == words


def test_the_end_of_a_log_is_shown_without_control_characters(tmp_path):
    log = tmp_path / "job.log"
    log.write_bytes(b"first\n" + b"x\n" * 30000 + b"\x1b[2Jred\x07 \xff\n\n" + b"y" * 999)
    lines = progress.tail(str(log))
    assert len(lines) == progress.SHOWN_LINES
    assert lines[-2] == "[2Jred \ufffd"
    assert lines[-1] == "y" * progress.SHOWN_WIDTH
    assert progress.tail(str(tmp_path / "none")) == ["(no such file)"]
    log.write_text("error: no room\n" + "noise\n" * 50)
    assert progress.tail(str(log)) == ["error: no room", *["noise"] * progress.SHOWN_LINES]
    log.write_text("")
    assert progress.tail(str(log)) == ["(empty)"]


class Stream(io.StringIO):
    """A stream that may be a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.fixture
def display(monkeypatch):
    """Build a handler whose predictions, stream and clock are the test's."""
    monkeypatch.setattr(progress, "predictions", lambda root, planned: KNOWN)
    monkeypatch.setenv("DASBENCH_COMMAND", "./run smoke")
    monkeypatch.setenv("TERM", "xterm")
    made = []

    def build(terminal=False):
        monkeypatch.setattr(sys, "stderr", Stream(terminal))
        handler = LogHandler(SimpleNamespace(), None)
        handler.time = 0.0
        handler.clock = lambda: handler.time
        handler.began = handler.told = 0.0
        made.append(handler)
        return handler

    yield build
    for handler in made:
        handler.close()


def send(handler, event=None, level=logging.INFO, message="", **fields):
    record = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    record.__dict__.update(fields, **({"event": event} if event else {}))
    handler.emit(record)


def job(handler, number, rule, seconds):
    send(handler, LogEvent.JOB_INFO, jobid=number, rule_name=rule, log=[])
    handler.time += seconds
    send(handler, LogEvent.JOB_FINISHED, job_id=number)


def run_through(handler):
    send(handler, LogEvent.RUN_INFO, stats=STATS)
    job(handler, 1, "train_base_smoke", 10)
    for number in (2, 3, 4):
        job(handler, number, "train_subsets_eval_smoke", 40)
    for number in (5, 6):
        job(handler, number, "score", 1)
    send(handler, LogEvent.JOB_INFO, jobid=0, rule_name="smoke", log=[])
    send(handler, LogEvent.JOB_FINISHED, job_id=0)
    handler.close()


def test_lines_where_there_is_no_terminal(display):
    handler = display()
    run_through(handler)
    lines = handler.stream.getvalue().splitlines()
    # a minute after the last news, all of it in one line
    assert re.fullmatch(r"3 of 6 jobs · about \d+ s left", lines.pop(4))
    assert lines == [
        "6 jobs, 13 models to train, about 72 s on one core",
        "base model: 0 of 1 model",
        "base model: 1 of 1 model done",
        "subset models: 0 of 12 models",
        "subset models: 12 of 12 models done",
        "scores: 0 of 2 jobs",
        "scores: 2 of 2 jobs done",
        "6 of 6 jobs done, 2 min",
    ]


def test_a_long_job_is_told_of_while_it_runs(display, monkeypatch):
    """Without a terminal, too, and without any event: a training may take hours."""
    monkeypatch.setattr(plugin, "QUIET", 0.01)
    handler = display()
    send(handler, LogEvent.RUN_INFO, stats=STATS)
    send(handler, LogEvent.JOB_INFO, jobid=1, rule_name="train_base_smoke", log=[])
    handler.time = 5.0
    end = time.monotonic() + 10
    while "0 of 6 jobs" not in handler.stream.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    assert "0 of 6 jobs · base model: 0 of 1 model" in handler.stream.getvalue()


def test_one_line_on_a_terminal(display):
    handler = display(terminal=True)
    run_through(handler)
    shown = handler.stream.getvalue()
    assert "\r\x1b[K0 of 6 jobs · base model: 0 of 1 model · about" in shown
    assert shown.endswith("\r\x1b[K6 of 6 jobs done, 2 min\n")
    assert shown.count("\n") == 2


def test_a_failed_job_shows_its_log_and_the_command(display, tmp_path):
    log = tmp_path / "job.log"
    log.write_text("working\nerror: features are damaged\n")
    handler = display()
    send(handler, LogEvent.RUN_INFO, stats=STATS)
    send(handler, LogEvent.JOB_INFO, jobid=1, rule_name="score", log=[str(log)])
    fields = {"jobid": 1, "rule_name": "score", "rule_msg": None}
    logs = [f"{log} (check log file(s) for error details)"]
    send(handler, LogEvent.JOB_ERROR, logging.ERROR, log=logs, **fields)
    # the exception of the failed command says nothing that was not said
    send(handler, LogEvent.ERROR, logging.ERROR, "returned 1", exception="CalledProcessError")
    handler.close()
    shown = handler.stream.getvalue()
    assert f"FAILED score\n  {log} ends with\n    | working\n    | error: features are" in shown
    assert "  try again: ./run smoke\n" in shown
    assert "returned 1" not in shown
    assert shown.endswith("0 of 6 jobs done, 1 failed, 0 s\n")


def test_what_snakemake_warns_of_is_shown(display):
    handler = display()
    send(handler, message="Building DAG of jobs...")
    send(handler, message="Nothing to be done (all requested files are present).")
    send(handler, message="the report is here", news=True)
    send(handler, level=logging.WARNING, message="a file is missing")
    send(handler, LogEvent.ERROR, logging.ERROR, "WorkflowError: no", exception="WorkflowError")
    handler.close()
    assert handler.stream.getvalue().splitlines() == [
        "Nothing to be done (all requested files are present).",
        "the report is here",
        "a file is missing",
        "WorkflowError: no",
    ]


def test_loading_the_plugins_is_cheap():
    """Snakemake loads them in every call, whoever asks."""
    code = (
        "import sys, snakemake_logger_plugin_dasbench, snakemake_logger_plugin_dasbench_plan;"
        "assert not {'yaml', 'numpy', 'dasbench.experiments.config', 'torch'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "src")}
    )
