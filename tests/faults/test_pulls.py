"""Pulls that are killed or reach nothing: one sentence, nothing half, and the next one goes on."""

import os
import signal
import time
from pathlib import Path

import pytest

from clones import cloned, stored

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

# the phases of a pull, and the folders that fill meanwhile
WATCHED = {"download": ".dvc/cache/files", "checkout": "results/smoke/models"}
UNREACHABLE = {
    "pull": [
        ("/nowhere/store", {}, "there is no such directory"),
        ("http://127.0.0.1:9/store", {}, "Connection refused"),
        ("s3://lab/das", {"endpointurl": "http://127.0.0.1:9"}, "Connection refused"),
    ]
}
# DVC makes a directory to push to, and would make that where no stick is mounted
UNREACHABLE["push"] = [
    ("/nowhere/store", {}, "there is no directory /nowhere"),
    *UNREACHABLE["pull"][1:],
]


@pytest.fixture
def clone(made, tmp_path):
    return cloned(made.folder, tmp_path / "clone")


def test_a_killed_pull_goes_on(made, clone, fault):
    """Killed twice in each phase; half a file lies about, then all is as it should be."""
    name = "`kill -9` of a pull, while it downloads and while it checks out"
    fault(name)
    for folder in WATCHED.values():
        for enough in (1, 40):
            process = clone.start("pull", "smoke")
            while process.poll() is None and len(stored(clone.folder / folder)) < enough:
                time.sleep(0.001)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert not set(clone.hashes()) >= set(made.hashes()), "the pull had ended already"
    halves = leave_halves(clone.folder / "results/smoke/models/base/unet")
    clone.run("pull", "smoke")
    assert not any(path.exists() for path in halves)
    assert clone.has_all_of(made)
    fault(name, 2 * len(WATCHED), "the next `./run pull` goes on; same bytes, no half files")


def leave_halves(folder):
    """What a kill leaves at its two worst moments: a copy under way, a reflink just begun."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f".{'x' * 22}.tmp").write_bytes(b"half")
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    return [folder / f".{'x' * 22}.tmp"]


def test_out_of_reach_is_one_sentence(clone, fault):
    name = "remote out of reach: a directory, http, S3"
    fault(name)
    for command, remotes in UNREACHABLE.items():
        for url, settings, reason in remotes:
            clone.add_remote("far", url, **settings)
            failed = clone.run(command, "smoke", "-r", "far", check=False)
            assert failed.returncode == 1
            (line,) = failed.stderr.splitlines()
            assert f"the remote far ({url}) cannot be reached: {reason}" in line
            assert "`./run pull --bundle FILE`" in line
            assert failed.stdout == ""
    assert not Path("/nowhere").exists()
    tried = sum(map(len, UNREACHABLE.values()))
    fault(name, tried, "pull and push tell each in one sentence; a way out is `./run bundle`")
