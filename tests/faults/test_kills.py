"""kill -9 at any time, then ``./run``: it finishes, with the bytes of an undisturbed run."""

import random
import re
import shutil
import subprocess
import time
from collections import Counter

import pytest

from campaign import MISSED, SCRIPTS, jobs, kill_all, kill_scheduler
from clones import RECORDED, Clone, checkout, copied
from dasbench.sharing import records

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

RUNS = 4
SEED = 20261


KEPT = ("features", "network", "residuals")


def test_killed_at_any_time_it_finishes_with_the_same_bytes(made, tmp_path, whole):
    """Recompute smoke in a clone, killed on the way: every artifact is the same.

    In the whole campaign it starts from nothing, and no job runs in the warm interpreter, in which
    ``made`` was made. Otherwise the features are there before, and ``test_warm.py`` compares cold
    jobs with warm ones.
    """
    if whole:
        clone = checkout(tmp_path / "clone", cold=True)
    else:
        clone = Clone(copied(made.folder, tmp_path / "clone"))
        home = clone.folder / "results/smoke"
        for place in [p for p in home.iterdir() if p.is_dir() and p.name not in KEPT]:
            shutil.rmtree(place)
        assert len(clone.plan()) > 20
    moment = random.Random(0)
    for _ in range(3 if whole else 1):
        process = clone.start("smoke")
        time.sleep(moment.uniform(6, 20))
        kill_all(process)
    clone.run("smoke")
    assert clone.plan() == {}
    assert clone.hashes() == made.hashes()
    if whole:
        clone.run("save", "smoke")
        assert clone.recorded() == made.recorded()
    assert not list((clone.folder / "results").rglob(".part-*"))


def shortest_jobs(clone):
    """Seconds that the shortest job of each script of small took."""
    entries, times = {}, {}
    for folder in ("data/digits", "results/small"):
        partition = records.load(clone.folder, folder)
        entries, times = entries | partition.entries, times | partition.times
    found = {}
    for output, entry in entries.items():
        script = re.search(r"scripts/(\w+)\.py", entry["shellcmd"])[1]
        began, ended, _ = times[output]
        found[script] = min(ended - began, found.get(script, ended - began))
    return found


class Story:
    """One run of small from nothing, killed again and again."""

    def __init__(self, clone, rng, seconds):
        self.clone, self.rng, self.seconds, self.run = clone, rng, seconds, None
        self.kills, self.hit = Counter(), Counter()
        self.log = (clone.folder / "killed.log").open("w")

    def start(self):
        if self.run is None:
            self.run = self.clone.start("small", output=self.log)

    def wait_for(self, scripts):
        """The first of these scripts that is at work; None if the run ends before."""
        while not (found := scripts & set(jobs(self.clone.folder))):
            if self.run.poll() is not None:
                return None
            time.sleep(0.02)
        return min(found)

    def strike(self, manner):
        """Kill in one of three manners, and note which jobs were at work."""
        at_work = jobs(self.clone.folder)
        self.hit.update(list(at_work))
        self.kills[manner] += 1
        if manner == "job" and at_work:
            at_work[self.rng.choice(sorted(at_work))].kill()
        else:
            (kill_scheduler if manner == "scheduler" else kill_all)(self.run)
            self.run = None

    def finish(self):
        while self.run is not None and self.run.poll() is None:
            time.sleep(0.1)
        self.log.close()
        return self.clone.run("small")


def chained(story, scripts):
    """Kill four times while it starts, then at a random moment of each of the scripts' jobs."""
    rng = story.rng
    for latest in (2, 4, 6, 8):
        story.start()
        time.sleep(rng.uniform(0.1, latest))
        story.strike("everything")
    while wanted := set(scripts) - set(story.hit):
        story.start()
        script = story.wait_for(wanted)
        if script is None:  # it has come to its end, or to that of a killed job
            ended, story.run = story.run, None
            if ended.returncode == 0:
                break
            continue
        # beyond this the shortest job may have ended: some time has passed before it is seen
        time.sleep(rng.uniform(0, 0.6 * story.seconds[script]))
        if story.run.poll() is None:
            story.strike(rng.choice(["everything", "everything", "scheduler", "job"]))
    story.finish()


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(RUNS))
def test_chained_kills(undisturbed, new_clone, tally, number):
    seconds = shortest_jobs(undisturbed)
    assert set(seconds) == set(SCRIPTS)
    clone = new_clone("killed")
    story = Story(clone, random.Random(SEED + number), seconds)
    try:
        chained(story, SCRIPTS[number::RUNS])
    finally:
        if story.run is not None and story.run.poll() is None:
            kill_all(story.run)
    assert clone.plan("small") == {}
    assert clone.hashes("small") == undisturbed.hashes("small")
    manifest = "results/small/provenance.json"
    assert (clone.folder / manifest).read_bytes() == (undisturbed.folder / manifest).read_bytes()
    assert clone.run("verify", "small").stdout.endswith(" 0 problems\n")
    assert not list((clone.folder / "results").rglob(".part-*"))
    tally(story.kills, story.hit)


@pytest.fixture(scope="module")
def tallies():
    return []


@pytest.fixture
def tally(tallies, fault):
    """Adds up the runs; the row is written when all of them have passed."""
    name = "`kill -9` at random moments (seeded), several per run"
    fault(name)

    def add(*counts):
        tallies.append(counts)
        kills = sum((count[0] for count in tallies), Counter())
        hit = sum((count[1] for count in tallies), Counter())
        if len(tallies) < RUNS:
            return
        assert sum(kills.values()) >= 30
        missing = set(SCRIPTS) - set(hit)
        assert len(missing) <= MISSED, missing
        manners = ", ".join(f"{n} of {manner}" for manner, n in sorted(kills.items()))
        phases = f"{len(set(SCRIPTS) & set(hit))} of {len(SCRIPTS)} scripts were struck at work"
        outcome = f"{RUNS} runs, {manners}; {phases}; each finished with the same bytes"
        fault(name, sum(kills.values()), outcome)

    return add


def test_a_second_run_is_told_and_a_stale_lock_is_cleared(made, tmp_path, fault):
    """The second of two concurrent runs changes nothing; after kill -9 no lock is in the way."""
    name = "second `./run` while one is under way"
    fault(name)
    clone = checkout(tmp_path / "clone", experiments=RECORDED)
    first = clone.start("smoke")
    locks = clone.folder / ".snakemake/locks"
    while not (locks.is_dir() and list(locks.iterdir())):
        assert first.poll() is None
        time.sleep(0.05)
    asked = [("smoke",), ("digits",), ("save", "smoke"), ("verify", "smoke"), ("bundle", "smoke")]
    for words in asked:
        told = clone.run(*words, check=False)
        assert told.returncode == 1
        assert told.stderr.startswith(f"run: another run is under way here (process {first.pid})")
        assert len(told.stderr.splitlines()) == 1
    assert first.poll() is None
    kill_all(first)
    fault(name, len(asked), "each is told of the first in one sentence and touches nothing")
    stale = "Snakemake's lock left by `kill -9`"
    fault(stale)
    assert list(locks.iterdir())
    clone.run("pool_smoke_is_no_experiment", check=False)
    done = clone.run("-c1", "--", "pool_smoke")
    assert "LockException" not in done.stderr
    fault(stale, 1, "cleared by the next `./run`, which goes on")


def test_the_next_run_waits_for_jobs_that_outlived_theirs(made, tmp_path, fault):
    name = "`kill -9` of Snakemake alone, its jobs at work"
    fault(name)
    clone = checkout(tmp_path / "clone", experiments=RECORDED)
    run = clone.start("-c1", "--", "examples_smoke")
    while not (orphans := jobs(clone.folder)):
        assert run.poll() is None
        time.sleep(0.02)
    (orphan,) = orphans.values()
    orphan.suspend()
    kill_scheduler(run)
    words = ["./run", "-c1", "--", "examples_smoke"]
    second = clone.start(*words[1:], output=subprocess.PIPE)
    line = second.stderr.readline().decode()
    assert line.startswith("run: waiting for what a run that was killed left at work (processes ")
    assert str(orphan.pid) in line
    orphan.resume()
    rest = second.communicate(timeout=300)[1].decode()
    assert second.returncode == 0, rest
    for part in ("train", "val"):
        path = f"results/smoke/examples/{part}.npz"
        assert (clone.folder / path).read_bytes() == (made.folder / path).read_bytes()
    fault(name, 1, "the next `./run` waits for them and says so; same bytes")
