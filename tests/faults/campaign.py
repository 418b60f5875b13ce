"""What the campaign needs: a small experiment, the table of outcomes, the jobs at work."""

import os
import re
import signal
from pathlib import Path

import psutil
import yaml

from clones import RECORDED, checkout
from experiment_files import raw

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
START, END = "<!-- the campaign writes from here -->", "<!-- to here -->"
HEAD = "| fault | times tried | outcome |\n|---|---|---|"

WAYS = ("truncated", "bit flipped", "another experiment's", "NaN", "wrong shape", "wrong dtype")
WAYS += ("pickled",)
# what is tried: each has a row, and no test may try anything else
FAULTS = {
    *(f"artifact of every type: {way}" for way in WAYS),
    "one artifact of every type damaged at once",
    "artifact whose damage its reader cannot name",
    "broken experiment file, to `./run`",
    "broken experiment file, to the validator",
    "disk full, in each phase",
    "full /tmp",
    "full /tmp, once jobs are at work",
    "read-only folder",
    "read-only `results/`",
    "`kill -9` at random moments (seeded), several per run",
    "`kill -9` of Snakemake alone, its jobs at work",
    "Snakemake's lock left by `kill -9`",
    "second `./run` while one is under way",
    "`kill -9` of a pull, while it downloads and while it checks out",
    "remote out of reach: a directory, http, S3",
}
# the workflow's phases, in its order: each is stopped by a full disk
PHASES = ("pool", "examples", "base", "tune", "eval", "queries", "outputs", "features", "scores")
PHASES += ("lds", "removal", "report")
# what the small experiment runs, in the order in which the graph comes to it: each is killed
SCRIPTS = """prepare_pool choose_examples train_base train_subsets make_queries compute_features
compute_residuals compute_journeys compute_ekfac compute_unlearning measure_outputs
gather_outputs decompose select_damping score evaluate_lds choose_removals train_removal
measure_removal summarise_lds summarise_removal plot_samples plot_neighbours plot_lds
tabulate_lds plot_removal write_metrics gather_explorer render_report""".split()
MISSED = 3  # scripts whose jobs may have ended before they could be killed
# of each rule that makes scores, or what they are made from, one
METHODS = "random pixel_cosine trak das tracincp journey_trak ekfac_if unlearning".split()


class Ledger:
    """Rows of the table in docs/reliability.md; a fault whose test fails is told as such."""

    def __init__(self):
        self.rows = {}

    def begin(self, fault):
        assert fault in FAULTS, f"add {fault!r} to FAULTS"
        self.rows[fault] = (0, "**not passed** when last tried")

    def end(self, fault, times, outcome):
        self.rows[fault] = (times, outcome)

    def write(self, page=PAGE):
        """Renew the rows of what was tried; leave the others alone."""
        text = page.read_text()
        before, rest = text.split(START)
        old, after = rest.split(END)
        rows = rows_of(old)
        rows |= {fault: f"{times} | {outcome}" for fault, (times, outcome) in self.rows.items()}
        lines = [f"| {fault} | {row} |" for fault, row in sorted(rows.items())]
        page.write_text(before + "\n".join([START, HEAD, *lines, END]) + after)


def rows_of(text):
    """Fault -> what the table says of it."""
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, flags=re.M))
    return {fault: row for fault, row in rows.items() if fault != "fault"}


def small(seed=0):
    """Smoke with fewer models and methods: every rule has a job, and all take two minutes."""
    data = raw()
    data |= {"title": "smoke, smaller", "seed": seed}
    data["data"]["train"] = 80
    data["training"]["epochs"] = 1
    data["subsets"] |= {"models_per_job": 4, "eval": {"models": 4, "seeds": 2}}
    data["queries"] |= {"val": 6, "gen": 6, "tuning": 3}
    data["features"]["dimensions"] = 128
    data["methods"] = {name: {} for name in METHODS}
    data["lds"]["draws"] = 100
    data["removal"] |= {"methods": ["das"], "k": [8], "queries": 1, "random_sets": 1}
    data["comparisons"] = [{"a": "das", "b": "trak"}]
    data["report"] = {"queries": 1, "top": 2}
    return yaml.safe_dump(data, sort_keys=False)


def blank_clone(folder):
    """A clone with the experiments small and other, which differ in their seeds."""
    clone = checkout(folder, experiments=RECORDED)
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
