"""Snakemake's logger plugin ``dasbench-plan``: the jobs of a plan, one JSON object a line.

``dasbench.planning.planned_jobs`` plans with ``--logger dasbench-plan`` and reads standard output.
Errors go to standard error. All other messages of Snakemake are left out.
"""

from __future__ import annotations

import json
import logging
import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class LogHandler(LogHandlerBase):
    """Writes to standard output; Snakemake calls it from one thread."""

    # replace Snakemake's messages, and receive every event
    writes_to_stream = has_filter = has_formatter = True
    writes_to_file = needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a planned job, or an error."""
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            job = {"rule": record.rule_name, "wildcards": record.wildcards}
            sys.stdout.write(f"{json.dumps(job)}\n")
        elif record.levelno >= logging.ERROR:
            sys.stderr.write(f"{record.getMessage()}\n")
