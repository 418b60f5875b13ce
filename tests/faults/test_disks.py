"""Disks that are full or read-only: one sentence, nothing lost, and the next ``./run`` finishes."""

import contextlib
import os
import random
import re
import resource
import shutil
import subprocess
import tempfile
import time

import pytest

from campaign import PHASES, blank_clone, jobs
from clones import Clone, copied, stored
from dasbench.sharing import records

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """A tmpfs of a few megabytes at ``folder``; None where this user may not mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield folder if made else None
    finally:
        if made:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, left):
    """Leave ``left`` bytes of the disk, or fewer: jobs go on writing meanwhile."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        while True:
            now = os.statvfs(folder)
            free = now.f_bavail * now.f_frsize
            if free <= left:
                return ballast
            with contextlib.suppress(OSError):  # what was free a moment ago is not any more
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size + free - left)
                return ballast


def few_bytes(most):
    """For the child alone: no file may grow beyond ``most`` bytes."""

    def limit():
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))

    return limit


def filled_meanwhile(clone, words, disk, left):
    """Start a run, fill the disk but for ``left`` bytes when its first job is at work: status and
    what was said.
    """
    with tempfile.TemporaryFile("w+") as output:
        run = clone.start(*words, output=output)
        while run.poll() is None and not jobs(clone.folder):
            time.sleep(0.02)
        ballast = fill(disk, left)
        status = run.wait()
        refused = clone.run(*words, check=False)
        assert refused.returncode == 1
        assert re.fullmatch(
            r"run: the disk of .+ is full \(\d\.\d MB free, expected at least 16\); make room, "
            r"then run the same command again\n",
            refused.stderr,
        )
        ballast.unlink()
        output.seek(0)
        return status, output.read()


def sentence(text):
    """What a run that met a full disk says of it."""
    words = ("could not be written", "is full (", "No space left on device", "File too large")
    found = [line for line in text.splitlines() if any(word in line for word in words)]
    assert found, text[-3000:]
    return found[0]


def artifacts(clone):
    """What has been made here."""
    return {path for kind in records.KINDS for path in stored(clone.folder / kind)}


def stopped(clone, words, room, disk=None):
    """Let the disk be full in a run, with less room each time, until a job is stopped by that."""
    before = artifacts(clone)
    for left in (room, room // 4, room // 16, 0):
        if disk:
            status, text = filled_meanwhile(clone, words, disk, left)
        else:
            done = clone.run(*words, check=False, preexec_fn=few_bytes(max(left, 200)))
            status, text = done.returncode, done.stdout + done.stderr
        if status:
            return sentence(text)
        for path in artifacts(clone) - before:  # it was too fast, or what it wrote too little
            path.unlink()
    raise AssertionError(f"{words} was never stopped by a full disk")


def full_disks(clone, experiment, phases, rng, disk=None):
    """Let the disk be full in each phase, then not; returns what was said of it."""
    said = {}
    for phase in phases:
        words = ["--", f"{phase}_{experiment}"]
        said[phase] = stopped(clone, words, rng.randrange(8_000), disk)
        clone.run(*words)
    assert clone.plan(experiment) == {}
    assert clone.run("verify", experiment).stdout.endswith(" 0 problems\n")
    return said


def test_a_full_disk_in_the_last_phase(made, tmp_path):
    with small_disk(tmp_path / "disk", 300) as disk:
        clone = Clone(copied(made.folder, tmp_path / "disk/clone"))
        for name in ("metrics.json", "report.html", "figures/damping.svg"):
            (clone.folder / "results/smoke" / name).unlink()
        full_disks(clone, "smoke", ["report"], random.Random(0), disk)
        assert clone.hashes() == made.hashes()


@pytest.mark.campaign
def test_a_full_disk_in_each_phase(undisturbed, tmp_path, fault):
    name = "disk full, in each phase"
    fault(name)
    with small_disk(tmp_path / "disk", 300) as disk:
        clone = blank_clone(tmp_path / "disk/clone")
        said = full_disks(clone, "small", PHASES, random.Random(1), disk)
        assert tuple(said) == PHASES
        assert clone.hashes("small") == undisturbed.hashes("small")
    how = "a small tmpfs" if disk else "a limit on file sizes"
    outcome = (
        f"{how}; {', '.join(said)}: each stopped, saying so; the next `./run` finished, same bytes"
    )
    fault(name, len(PHASES), outcome)


def test_a_read_only_folder_is_one_sentence(made, tmp_path, fault):
    """A folder of somebody else's, here a read-only mount: to look is allowed, to run is not."""
    name = "read-only folder"
    fault(name)
    folder = tmp_path / "clone"
    with read_only(made.folder, folder) as how:
        clone = Clone(folder)
        asked = [("smoke",), ("verify", "smoke"), ("save", "smoke"), ("bundle", "smoke")]
        for words in asked:
            told = clone.run(*words, check=False)
            assert told.returncode == 1
            assert re.fullmatch(
                r"run: .+das-run\.lock could not be written \(.+\); a run needs a folder that it "
                r"may write to: mend its permissions, or clone the repository elsewhere\n",
                told.stderr,
            )
    outcome = f"{how}; run, verify, save and bundle each say so in one sentence"
    fault(name, len(asked), outcome)


def test_read_only_results_are_one_sentence(made, copy, fault):
    """Results of somebody else's in a clone of one's own: what only reads them works."""
    name = "read-only `results/`"
    fault(name)
    results = copy.folder / "results"
    with read_only(results, results) as how:
        told = copy.run("smoke", check=False)
        assert told.returncode == 1
        assert told.stderr == (
            "run: results/smoke may not be written to, and a run needs that: mend its permissions, "
            "or clone the repository elsewhere\n"
        )
        assert copy.plan() == {}
        assert copy.run("verify", "smoke").stdout.endswith(" 0 problems\n")
        copy.run("bundle", "smoke")
    copy.run("smoke", "--forcerun", "results/smoke/metrics.json")
    assert copy.hashes() == made.hashes()
    outcome = f"{how}; a run says so in one sentence; to plan, verify and bundle is possible"
    fault(name, 4, outcome)


@contextlib.contextmanager
def read_only(source, folder):
    """``source`` seen at ``folder``, which may be the same, without the right to write."""
    folder.mkdir(exist_ok=True)
    bound = subprocess.run(["mount", "--bind", source, folder], capture_output=True, check=False)
    if bound.returncode == 0:
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
            yield "a read-only mount"
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
        return
    if source != folder:
        shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
    (folder / ".snakemake/das-run.lock").unlink(missing_ok=True)
    closed = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in closed:
        path.chmod(0o555)
    try:
        yield "a folder without the right to write"
    finally:
        for path in closed:
            path.chmod(0o755)


def test_a_full_folder_for_temporary_files(made, copy, tmp_path, fault):
    name = "full /tmp"
    fault(name)
    (copy.folder / "results/smoke/metrics.json").unlink()
    words = ["env", f"TMPDIR={tmp_path / 'tmp'}", "./run", "smoke"]
    with small_disk(tmp_path / "tmp", 1) as disk:
        how = "a full tmpfs as TMPDIR" if disk else "a tiny one as TMPDIR"
        if disk:
            fill(disk, 0)
        else:
            (tmp_path / "tmp").rmdir()
            how = "a TMPDIR that is not there"
        told = copy.call(*words, check=False)
        if disk:
            assert told.returncode == 1
            assert told.stderr.startswith(f"run: the disk of {tmp_path / 'tmp'} is full")
            assert len(told.stderr.splitlines()) == 1
    copy.run("smoke")
    assert copy.hashes() == made.hashes()
    fault(name, 1, f"{how}: told in one sentence; with room again the same bytes")


@pytest.mark.campaign
def test_temporary_files_find_no_room_once_jobs_are_at_work(
    undisturbed, new_clone, tmp_path, monkeypatch, fault
):
    name = "full /tmp, once jobs are at work"
    with small_disk(tmp_path / "tmp", 24) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small disk")
        fault(name)
        clone = new_clone("clone")
        monkeypatch.setenv("TMPDIR", str(disk))  # for the run: this process knows its own already
        status, text = filled_meanwhile(clone, ["small"], disk, 0)
        monkeypatch.undo()
    how = "the run went on"
    if status:  # Snakemake, too, may write there, and does not word what it meets
        how = "a traceback ending in" if "Traceback" in text else "the run stopped, saying"
        how += f" `{sentence(text)}`"
    clone.run("small")
    assert clone.plan("small") == {}
    assert clone.hashes("small") == undisturbed.hashes("small")
    assert clone.run("verify", "small").stdout.endswith(" 0 problems\n")
    fault(name, 1, f"TMPDIR filled after the start: {how}; same bytes")
