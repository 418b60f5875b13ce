"""The warm interpreter: a job in it ends as a cold one does, and makes the same bytes."""

import json
import os
import signal
import subprocess
import time

import psutil
import pytest

import warm
from clones import Clone

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


def test_cold_jobs_make_the_bytes_of_warm_ones(made, copy):
    """A model, numbers and a figure; the whole graph: test_kills.py."""
    home = copy.folder / "results/smoke"
    weights = "models/base/unet/diffusion_pytorch_model.safetensors"
    names = [weights, "residuals/scalar.npy", "features/loss-common/train.npy"]
    names += ["scores/das/gen.npy", "figures/samples.svg"]
    for name in names:
        (home / name).unlink()
    cold = Clone(copy.folder, cold=True)
    cold.run("--", *(f"results/smoke/{name}" for name in names))
    assert cold.hashes() == made.hashes()
    assert str(warm.folder()) not in cold.environment(True)["PATH"].split(os.pathsep)
