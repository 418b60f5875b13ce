"""Checkouts of the repository, and what can be asked of them."""

import compileall
import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

import warm
from dasbench.experiments import config

ROOT = Path(__file__).parents[1]
RECORDED = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["vars"][0]["recorded"])
PAPERS = ("cifar2", "cifar10", "celeba", "artbench2", "artbench5")
COSTS = re.compile(r"runtimes\.json|costs\.csv|cost-|timings\.html")


class Clone:
    """A checkout of the repository with the environment that the tests run in.

    Args:
        folder: where it lies.
        cold: start every job in a Python of its own, not in the warm interpreter.
    """

    def __init__(self, folder, cold=False):
        self.folder = Path(folder)
        self.cold = cold
        self.log = []  # (command, what it printed), for transcripts

    def environment(self, cold):
        """Environment of a command in this clone."""
        variables = {
            k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PYTEST", "DASBENCH"))
        }
        programs = Path(sys.executable).parent
        path = [os.environ["PATH"]]
        path[:0] = [str(programs)] if cold else [str(warm.folder()), str(programs)]
        variables |= {"DAS_ENV": "active", "PYTHONPATH": "", "DVC_NO_ANALYTICS": "1"}
        return variables | {"OMP_NUM_THREADS": "1", "PATH": os.pathsep.join(path)}

    def call(self, *command, check=True, **kwargs):
        done = subprocess.run(
            [str(c) for c in command],
            cwd=self.folder,
            env=self.environment(self.cold),
            capture_output=True,
            text=True,
            check=False,
            **kwargs,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        self.log.append((command, done.stdout + done.stderr))
        return done

    def run(self, *words, **kwargs):
        return self.call("./run", *words, **kwargs)

    def start(self, *words, output=subprocess.DEVNULL):
        """Start ./run, cold, in its own process group, so that the whole of it can be killed."""
        return subprocess.Popen(
            ["./run", *words],
            cwd=self.folder,
            env=self.environment(cold=True),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def plan(self, *experiments):
        """Planned jobs of each rule, the targets themselves left out."""
        shown = self.run(*(experiments or ["smoke"]), "-n", "--quiet", "host", "reason")
        text = shown.stdout + shown.stderr
        if "Nothing to be done" in text:
            return {}
        table = text.rsplit("Job stats:", 1)[1].split("total", 1)[0]
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", table, flags=re.M))
        assert jobs, text
        return {rule: int(n) for rule, n in jobs.items() if rule not in experiments + ("smoke",)}

    def edit(self, path, old, new):
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new, 1))

    def hashes(self, experiment="smoke"):
        """SHA-256 of every artifact of an experiment, the costs left out."""
        home = self.folder / "results" / experiment
        files = sorted(p for p in home.rglob("*") if p.is_file())
        return {
            str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
            if not COSTS.search(p.name) and p.name != "provenance.json"
        }

    def recorded(self):
        """Digest of every out in dvc.lock that belongs to smoke, the costs left out."""
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        mine = [stage for name, stage in stages.items() if name.endswith(("@smoke", "pool@digits"))]
        outs = [out for stage in mine for out in stage["outs"]]
        return {out["path"]: out["md5"] for out in outs if not COSTS.search(out["path"])}

    def lock_smoke_alone(self):
        """Leave other experiments out of dvc.lock, which DVC reads once for each of its stages."""
        file = self.folder / "dvc.lock"
        content = yaml.safe_load(file.read_text())
        ours = ("@smoke", "pool@digits")
        content["stages"] = {n: s for n, s in content["stages"].items() if n.endswith(ours)}
        file.write_text(yaml.safe_dump(content, sort_keys=False))

    def clean(self):
        """Whether git and DVC see no change: files, outs, params and code of smoke."""
        changed = self.call("git", "status", "--short").stdout
        status = self.call("dvc", "status", "--with-deps", "report@smoke").stdout
        print(changed, status)  # shown if a test fails
        return not changed and status == "Data and pipelines are up to date.\n"

    def add_remote(self, name, url, **settings):
        """Set a remote in this clone alone."""
        self.call("dvc", "remote", "add", "--local", "--force", name, url)
        for key, value in settings.items():
            self.call("dvc", "remote", "modify", "--local", name, key, value)

    def has_all_of(self, made):
        """Whether nothing is to be done, every artifact is that of ``made``, and all is clean."""
        return self.plan() == {} and self.hashes() == made.hashes() and self.clean()

    def smoke_status(self):
        """What ``dvc status`` says of the stages of smoke."""
        stages = self.call("dvc", "stage", "list", "--name-only").stdout.split()
        return self.call("dvc", "status", *(s for s in stages if s.endswith("@smoke"))).stdout


def stored(folder):
    """All files of a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def copied(source, folder):
    """Copy a folder with all times and links; ``shutil.copytree`` takes several times as long."""
    subprocess.run(["cp", "-a", source, folder], check=True)
    return folder


def cloned(origin, folder):
    """A ``git clone``, with no results yet."""
    Clone(ROOT).call("git", "clone", "-q", origin, folder)
    clone = Clone(folder)
    clone.call("git", "config", "user.email", "tests@example.invalid")
    clone.call("git", "config", "user.name", "tests")
    compiled(folder)
    return clone


def compiled(folder):
    """Compile a checkout's package: where Python may write no bytecode, each job would do it.

    Bytecode is used only for the source that it was made from: tests change sources.
    """
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(Path(folder, "src"), quiet=2, invalidation_mode=checked)


def checkout(folder, cold=False, experiments=None):
    """Copy what git would have (committed or not, but not ignored) and commit it there.

    Args:
        folder: Where to.
        cold: As in ``Clone``.
        experiments: The experiments whose files are copied, since a plan reads all; None: all.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, listed)):
        file = Path(name)
        left_out = experiments is not None and file.parent == Path(config.FOLDER)
        if (ROOT / name).is_file() and not (left_out and file.stem not in experiments):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    clone = Clone(folder, cold)
    clone.call("git", "init", "-q", "-b", "main")
    clone.call("git", "config", "user.email", "tests@example.invalid")
    clone.call("git", "config", "user.name", "tests")
    clone.call("git", "add", "-A")
    clone.call("git", "commit", "-qm", "as tested")
    compiled(folder)
    return clone
