"""The lock of a run: whose it is, and that it is taken once."""

import os
import subprocess
import sys
from pathlib import Path

from dasbench import runlock

ROOT = Path(__file__).parents[2]


def test_busy_is_another_run(tmp_path, monkeypatch):
    """Free, ours, and that of the process that started this one are not busy; another's is."""
    monkeypatch.setenv(runlock.INHERITED, "")
    assert not runlock.busy(tmp_path)
    assert not (tmp_path / ".snakemake").exists()
    runlock.hold(tmp_path)
    assert not runlock.busy(tmp_path)
    code = f"from dasbench import runlock; print(runlock.busy({str(tmp_path)!r}))"

    def ask(**variables):
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert ask() == "False\n"
    assert ask(DASBENCH_RUN_LOCK="") == "True\n"
    assert ask(DASBENCH_RUN_LOCK=f"1:{tmp_path / runlock.FILE}") == "True\n"
    os.close(runlock._held.pop(str((tmp_path / runlock.FILE).resolve())))
    assert ask(DASBENCH_RUN_LOCK="") == "False\n"


def test_lock_is_taken_once_per_process(tmp_path, monkeypatch):
    monkeypatch.setenv(runlock.INHERITED, "")  # so that what hold() sets is undone
    runlock.hold(tmp_path)
    runlock.hold(tmp_path)
    code = f"from dasbench import runlock; runlock.hold({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"another run is under way here (process {os.getpid()})" in done.stderr
