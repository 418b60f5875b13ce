"""Count the jobs of each rule in a complete run of an experiment; Snakemake plans the run.

Snakemake plans in a temporary folder that links to the repository but holds no data and no results.
So the plan is the same whatever has already run, and an experiment file may lie anywhere.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.planning.job_cost import Jobs
from dasbench.registry import DATASETS

# folders that a run writes; the plan of a complete run must not see them
_MADE = ("results", "logs", ".snakemake")
_SNAKEMAKE = "-m snakemake --dry-run --logger dasbench-plan --".split()
# stands for each file of scores that the user computed elsewhere
_SCORES = "scores-from-elsewhere.npy"


def count(
    root: str | Path, experiments: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]
) -> list[list[Jobs]]:
    """Count the jobs of experiments, as if none of their outputs existed.

    Args:
        root: Folder of the repository.
        experiments: From ``dasbench.experiments.config``.
        files: The parsed file of each experiment, without defaults. The file may lie anywhere. Its
            data set may be unknown, and files of scores that it names may be absent.

    Returns:
        For each experiment, the jobs of its rules and of its target. If it shares the models of a
        parent, the jobs of the parent are left out.

    Raises:
        UserError: If Snakemake cannot plan.
    """
    root = Path(root).resolve()
    aliases = _aliases(len(files), config.names(root))
    with tempfile.TemporaryDirectory(prefix="dasbench-plan-") as folder:
        _link(root, Path(folder))
        for alias, content in zip(aliases, files, strict=True):
            text = yaml.safe_dump(_plannable(content), sort_keys=False)
            Path(folder, config.FOLDER, f"{alias}.yaml").write_text(text, encoding="utf-8")
        planned = _plan(Path(folder), aliases)
    return [_jobs_of(e, a, planned) for e, a in zip(experiments, aliases, strict=True)]


def _aliases(number: int, known: Sequence[str]) -> list[str]:
    """Names that no experiment of the repository has."""
    stem = "planned"
    while any(name.startswith(stem) for name in known):
        stem += "_again"
    return [f"{stem}_{i}" for i in range(number)]


def _link(root: Path, folder: Path) -> None:
    """Link the files that a plan reads; leave out data sets and outputs of runs."""
    for inner in ("data", config.FOLDER):
        (folder / inner).mkdir(parents=True)
        for file in filter(Path.is_file, Path(root, inner).glob("*")):
            (folder / inner / file.name).symlink_to(file)
    for entry in (*root.iterdir(), *(root / config.FOLDER).parent.iterdir()):
        place = folder / entry.relative_to(root)
        if entry.name not in _MADE and not place.exists():
            place.symlink_to(entry)


def _plannable(content: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the file with a registered data set, and with one stand-in for absent files."""
    changed = copy.deepcopy(dict(content))
    data = changed.get("data", {})
    if "dataset" in data and (known := _known(data["dataset"])) != data["dataset"]:
        of_files = ("size", "path", "labels", "limit")
        data = {key: value for key, value in data.items() if key not in of_files}
        changed["data"] = data | {"dataset": known}
    for options in changed.get("methods", {}).values():
        if options and "scores" in options:
            options["scores"] = dict.fromkeys(options["scores"], _SCORES)
    return changed


def _known(dataset: str) -> str:
    """The data set, or a registered one that stands for it: both have the same jobs."""
    return dataset if dataset in DATASETS else next(iter(DATASETS))


def _plan(folder: Path, targets: Sequence[str]) -> list[dict[str, Any]]:
    """Rule and wildcards of every job that makes the targets."""
    (folder / _SCORES).touch()
    paths = [str(folder / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "SNAKEMAKE_PROFILE": "profiles/default",
    }
    finished = subprocess.run(
        [sys.executable, *_SNAKEMAKE, *targets],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise UserError(
            f"Snakemake cannot plan: {finished.stderr.strip() or finished.stdout.strip()}"
        )
    return [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]


def _jobs_of(
    experiment: Mapping[str, Any], alias: str, planned: Sequence[Mapping[str, Any]]
) -> list[Jobs]:
    """The jobs of one experiment, under its name."""
    name: str = experiment["name"]
    counts: Counter[tuple[str, str]] = Counter()
    # one job prepares a data set for all its experiments; a child has no such job
    pool = _known(experiment["data"]["dataset"]) if experiment["seed_name"] == name else "none"
    for job in planned:
        rule, wildcards = job["rule"], job["wildcards"]
        if rule == alias:
            counts[name, "target"] += 1
        elif wildcards.get("experiment") == alias or wildcards.get("dataset") == pool:
            # a rule for experiments without held-out images has the costs of the other one
            counts[rule, rule.removesuffix("_gen")] += 1
        elif rule.endswith(f"_{alias}"):
            family = rule.removesuffix(f"_{alias}")
            counts[f"{family}_{name}", family] += 1
    return [Jobs(*key, jobs) for key, jobs in counts.items()]
