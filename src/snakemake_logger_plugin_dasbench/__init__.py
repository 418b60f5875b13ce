"""Snakemake's logger plugin ``dasbench``: a run in a few lines, errors in full.

``./run`` selects it with ``--logger dasbench``. With ``--verbose``, ``-p`` or another ``--logger``
the user gets Snakemake's messages instead. On a terminal, the plugin updates one line. Elsewhere it
writes a line when a phase begins or ends, and at most one line a minute in between. The file in
``.snakemake/log`` holds all messages of Snakemake in any case.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from dasbench.planning import progress
from dasbench.sharing import stopping

AGAIN = "DASBENCH_COMMAND"  # environment variable: the command of the user
# seconds between two progress lines, on a terminal and elsewhere
REFRESH, QUIET = 1.0, 60.0
# starts of plain messages of Snakemake that are shown
_PLAIN = ("Nothing to be done",)
# exceptions that repeat the error of a failed job
_TWICE = ("RuleException", "CalledProcessError")


class LogHandler(LogHandlerBase):
    """Writes to standard error; Snakemake calls it from one thread."""

    def __post_init__(self) -> None:
        """Start without a plan."""
        self.stream, self.clock = sys.stderr, time.monotonic
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.state: progress.State | None = None
        self.began = self.told = self.clock()
        self.dry = getattr(self.common_settings, "dryrun", False)
        self.guard, self.over = threading.RLock(), threading.Event()
        self.ticking: threading.Thread | None = None
        self.told_plan = False

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one event of Snakemake; after a signal, what fails was stopped."""
        if stopping.received():
            return
        event = getattr(record, "event", None)
        act = {
            LogEvent.RUN_INFO: self._planned,
            LogEvent.JOB_INFO: self._started,
            LogEvent.JOB_FINISHED: self._finished,
            LogEvent.JOB_ERROR: self._failed,
        }.get(event)
        try:
            with self.guard:
                if act:
                    act(record)
                elif record.levelno >= logging.WARNING:
                    if getattr(record, "exception", None) not in _TWICE:
                        self._say(record.getMessage())
                elif getattr(record, "news", False) or record.getMessage().startswith(_PLAIN):
                    self._say(record.getMessage())
        except BrokenPipeError:
            pass
        except Exception:  # a display must not end a run
            self.handleError(record)

    def _planned(self, record: Any) -> None:
        if self.dry:
            self._plan(record)
            return
        self.state = progress.State(progress.predictions(Path.cwd(), record.stats))
        self.state.plan(record.stats)
        self._say(self.state.prospect(self.clock()))
        self.ticking = threading.Thread(target=self._tick, daemon=True)
        self.ticking.start()

    def _plan(self, record: Any) -> None:
        """The answer to ``-n``: the table of jobs and one line. Snakemake sends its table twice."""
        if self.told_plan:
            return
        self.told_plan = True
        state = progress.State(progress.predictions(Path.cwd(), record.stats))
        state.plan(record.stats)
        again = os.environ.get(AGAIN, "the command without -n")
        self._say(record.getMessage().rstrip())
        self._say(f"{state.prospect(0.0)}; `{again}` makes them, `{again} -n -p` prints each job")

    def _started(self, record: Any) -> None:
        if self.state is None:
            return
        first = self.state.start(record.jobid, record.rule_name, record.log or [], self.clock())
        phase = progress.kind_of(record.rule_name, {}).phase
        self._news(self.state.phase_line(phase) if first and phase else None)

    def _finished(self, record: Any) -> None:
        if self.state is None:
            return
        rule = self.state.running.get(record.job_id, ("", 0, []))[0]
        complete = self.state.finish(record.job_id, self.clock())
        phase = progress.kind_of(rule, {}).phase
        self._news(f"{self.state.phase_line(phase)} done" if complete and phase else None)

    def _failed(self, record: Any) -> None:
        if self.state is not None:
            self.state.fail(record.jobid, record.rule_name)
        logs = [log.removesuffix(" (check log file(s) for error details)") for log in record.log]
        again = os.environ.get(AGAIN, "the same command")
        self._say(progress.failure(record.rule_name, logs, again))
        if record.rule_msg:
            self._say(f"  {record.rule_msg}")

    def _news(self, line: str | None) -> None:
        """Show progress: the live line of a terminal, or ``line``, or the state once a minute."""
        now = self.clock()
        if self.terminal:
            self._draw(now)
        elif line is not None:
            self._say(line)
        elif now - self.told >= QUIET:
            self._say(self.state.line(now))

    def _say(self, text: str) -> None:
        """Write a permanent line."""
        self.stream.write(f"\r\x1b[K{text}\n" if self.terminal else f"{text}\n")
        self.stream.flush()
        self.told = self.clock()

    def _draw(self, now: float) -> None:
        """Replace the live line; the cursor goes back to its start."""
        width = shutil.get_terminal_size().columns - 1
        self.stream.write(f"\r\x1b[K{self.state.line(now)[:width]}\r")
        self.stream.flush()

    def _tick(self) -> None:
        """Show progress at regular times, also without events."""
        while not self.over.wait(REFRESH if self.terminal else QUIET):
            with self.guard, contextlib.suppress(BrokenPipeError):
                self._news(None)

    def close(self) -> None:
        """Stop, and write the number of jobs and the time."""
        self.over.set()
        if self.ticking is not None:
            self.ticking.join()
        with self.guard:
            if self.state is not None:
                done, total = self.state.count()
                failed = f", {len(self.state.failed)} failed" if self.state.failed else ""
                took = progress.duration(self.clock() - self.began)
                self._say(f"{done} of {total} jobs done{failed}, {took}")
                self.state = None
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """True: the plugin replaces Snakemake's messages."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """False: Snakemake keeps its log file."""
        return False

    @property
    def has_filter(self) -> bool:
        """True: the plugin receives every event."""
        return True

    @property
    def has_formatter(self) -> bool:
        """True: the plugin formats events itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """False: the plugin needs no graph of rules."""
        return False
