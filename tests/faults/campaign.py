"""What the campaign needs: a small experiment, the table of outcomes, the jobs at work."""

import os
import re
import signal
from pathlib import Path

import psutil
import yaml

from clones import checkout
from experiment_files import raw

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
START, END = "<!-- the campaign writes from here -->", "<!-- to here -->"
HEAD = "| fault | times tried | outcome |\n|---|---|---|"


class Ledger:
    """Rows of the table in docs/reliability.md; a fault whose test fails is told as such."""

    def __init__(self):
        self.rows = {}

    def begin(self, fault):
        self.rows[fault] = (0, "**not passed** when last tried")

    def end(self, fault, times, outcome):
        self.rows[fault] = (times, outcome)

    def write(self, page=PAGE):
        """Renew the rows of what was tried; leave the others alone."""
        text = page.read_text()
        before, rest = text.split(START)
        old, after = rest.split(END)
        rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", old, flags=re.M))
        rows = {fault: row for fault, row in rows.items() if fault != "fault"}
        rows |= {fault: f"{times} | {outcome}" for fault, (times, outcome) in self.rows.items()}
        lines = [f"| {fault} | {row} |" for fault, row in sorted(rows.items())]
        page.write_text(before + "\n".join([START, HEAD, *lines, END]) + after)


def small(seed=0):
    """Smoke with fewer models and methods: every rule has a job, and all take a minute."""
    data = raw()
    data |= {"title": "smoke, smaller", "seed": seed}
    data["data"]["train"] = 80
    data["training"]["epochs"] = 1
    data["subsets"] |= {"models_per_job": 4, "eval": {"models": 4, "seeds": 2}}
    data["queries"] |= {"val": 6, "gen": 6, "tuning": 3}
    data["features"]["dimensions"] = 128
    data["methods"] = {name: {} for name in ("random", "pixel_cosine", "trak", "das")}
    data["lds"]["draws"] = 100
    data["removal"] |= {"methods": ["das"], "k": [8], "queries": 1, "random_sets": 1}
    data["comparisons"] = [{"a": "das", "b": "trak"}]
    data["report"] = {"queries": 1, "top": 2}
    return yaml.safe_dump(data, sort_keys=False)


def blank_clone(folder):
    """A clone with the experiments small and other, which differ in their seeds."""
    clone = checkout(folder)
    for seed, name in enumerate(("small", "other")):
        (clone.folder / f"config/experiments/{name}.yaml").write_text(small(seed))
    return clone


def jobs(folder):
    """Processes that run a script in ``folder``: script's name -> process."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if len(words) > 1 and words[1].startswith("scripts/"):
            try:
                if Path(process.cwd()) == Path(folder):
                    found[Path(words[1]).stem] = process
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
    return found


def kill_all(run):
    """``kill -9`` of Snakemake and of all that it started."""
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def kill_scheduler(run):
    """``kill -9`` of Snakemake alone: its jobs stay at work."""
    os.kill(run.pid, signal.SIGKILL)
    run.wait()


def refusals(text):
    """The sentences of a run's output that say what is wrong and how to mend it."""
    return [line for line in text.splitlines() if line.startswith(("error: ", "run: "))]
