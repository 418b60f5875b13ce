"""The lock of a run: whose it is, and that it is taken once."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dasbench.errors import UserError
from dasbench.sharing import runlock

ROOT = Path(__file__).parents[3]


def test_busy_is_another_run(tmp_path, monkeypatch):
    """Free, ours, and that of the process that started this one are not busy; another's is."""
    monkeypatch.setenv(runlock.INHERITED, "")
    assert not runlock.busy(tmp_path)
    assert not (tmp_path / ".snakemake").exists()
    runlock.hold(tmp_path)
    assert not runlock.busy(tmp_path)
    code = f"from dasbench.sharing import runlock; print(runlock.busy({str(tmp_path)!r}))"

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
    code = f"from dasbench.sharing import runlock; runlock.hold({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"another run is under way here (process {os.getpid()})" in done.stderr


def test_a_folder_without_the_right_to_write_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv(runlock.INHERITED, "")
    (tmp_path / ".snakemake").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"das-run\.lock could not be written \(.+\); a run needs"):
        runlock.hold(tmp_path)


def test_jobs_that_outlived_their_run_are_waited_for(tmp_path, monkeypatch, capsys):
    """The lock is free, since its holder is dead, but what that had started is still at work."""
    monkeypatch.setenv(runlock.INHERITED, "")
    path = tmp_path / runlock.FILE
    path.parent.mkdir()
    path.write_text("999999999")
    environment = {**os.environ, runlock.INHERITED: f"999999999:{path}"}
    sleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    job = subprocess.Popen(sleep, env=environment, stdin=subprocess.PIPE)
    while runlock._started_by(environment[runlock.INHERITED]) != [job.pid]:
        assert job.poll() is None
    threading.Timer(0.5, lambda: job.communicate(timeout=30)).start()
    runlock.hold(tmp_path)
    assert job.wait(30) == 0
    told = capsys.readouterr().err
    assert told.startswith("run: waiting for what a run that was killed left at work (processes")
    assert str(job.pid) in told
    os.close(runlock._held.pop(str(path.resolve())))


def test_what_killed_jobs_were_writing_is_swept(tmp_path):
    """Files beside an output, and the folder into which a bundle was being unpacked."""
    for name in ("results/e/.part-1.npy", ".part-bundle/results/e/a.npy", "results/e/a.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    runlock.sweep(tmp_path)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.npy"]
    assert not (tmp_path / ".part-bundle").exists()
