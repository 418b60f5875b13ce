"""The warm interpreter: a job in it ends as a cold one does, and makes the same bytes."""

import json
import os
import re
import signal
import subprocess
import time

import psutil
import pytest

import campaign
import warm
from clones import Clone
from dasbench.sharing import records

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

SHOW = """
import json, os, sys
import torch
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(), "path": sys.path[:2], "name": __name__, "file": __file__,
    "in": sys.stdin.read(), "env": os.environ.get("MINE"), "threads": torch.get_num_threads(),
    "mask": os.umask(0),
}))
"""


@pytest.fixture
def script(tmp_path):
    """Writes a script and starts it, warm or cold."""
    (tmp_path / "scripts").mkdir()

    def start(text, cold=False, **variables):
        (tmp_path / "scripts/job.py").write_text(text)
        environment = Clone(tmp_path).environment(cold) | variables
        return subprocess.Popen(
            ["python", "scripts/job.py", "a", "b c"],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=0o027,
        )

    return start


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_job_sees_what_a_cold_one_sees(script, threads):
    seen = []
    for cold in (False, True):
        variables = {"MINE": "yes", "OMP_NUM_THREADS": threads, "PYTHONPATH": "/some:/where"}
        out, _ = script(SHOW, cold, **variables).communicate("typed")
        seen.append(json.loads(out))
    assert seen[0] == seen[1]
    assert seen[0]["threads"] == int(threads)


ENDS = {
    "": 0,
    "import sys; sys.exit(3)": 3,
    "import sys; sys.exit('a sentence')": 1,
    "raise ValueError('why')": 1,
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": -9,
    "import atexit; atexit.register(print, 'last'); print('first')": 0,
    "import threading; threading.Timer(0.3, print, ['later']).start()": 0,
}


@pytest.mark.parametrize("text", ENDS)
def test_a_job_ends_as_a_cold_one_does(script, text):
    ended = []
    for cold in (False, True):
        process = script(text, cold)
        out, errors = process.communicate()
        ended.append((process.returncode, out, errors.splitlines()[-1:]))
    assert ended[0] == ended[1]
    assert ended[0][0] == ENDS[text]


def test_signals_reach_the_job_and_it_does_not_outlive_its_client(script):
    sleep = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    asked = script(sleep)
    int(asked.stdout.readline())
    asked.terminate()
    assert asked.wait(10) == -signal.SIGTERM
    killed = script(sleep)
    job = int(killed.stdout.readline())
    assert job != killed.pid
    killed.kill()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(job):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_libraries_read_when_they_are_loaded_makes_a_job_cold(script):
    text = "import sys; print('torch' in sys.modules)"
    shown = [script(text, **v).communicate()[0].strip() for v in ({}, {"HF_HOME": "/elsewhere"})]
    assert shown == ["True", "False"]


def test_it_has_imported_nothing_of_this_repository(script):
    text = "import sys; print([m for m in sys.modules if m.startswith(('dasbench', 'clones'))])"
    assert script(text).communicate()[0] == "[]\n"


# of each kind: training, gradients, sampling, tables, a figure, a page
COLD = ("train_subsets", "compute_features", "make_queries", "score", "evaluate_lds")
COLD += ("plot_lds", "render_report")


def test_a_cold_job_makes_the_bytes_of_a_warm_one(made, copy, deep):
    """By the recorded commands, with --deep of all scripts; the whole graph: test_kills.py."""
    entries = {}
    for folder in ("data/digits", "results/smoke"):
        entries |= records.load(copy.folder, folder).entries
    commands = {}  # script -> its first command
    for entry in entries.values():
        commands.setdefault(
            re.search(r"scripts/(\w+)\.py", entry["shellcmd"])[1], entry["shellcmd"]
        )
    assert set(commands) >= {"train_base", "train_removal", *COLD, *campaign.SCRIPTS}
    tried = list(commands.values()) if deep else [commands[script] for script in COLD]
    outputs = [name for name, entry in entries.items() if entry["shellcmd"] in tried]
    environment = copy.environment(cold=True) | {"PYTHONPATH": str(copy.folder / "src")}
    assert str(warm.folder()) not in environment["PATH"].split(os.pathsep)
    data = (copy.folder / "data/digits/pool.npz").read_bytes()
    for command in tried:
        for name in outputs:
            if entries[name]["shellcmd"] == command:
                (copy.folder / name).unlink()
        subprocess.run(["bash", "-c", command], cwd=copy.folder, env=environment, check=True)
    assert copy.hashes() == made.hashes()
    assert (copy.folder / "data/digits/pool.npz").read_bytes() == data
