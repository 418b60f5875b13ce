"""Files and settings of the table of methods and ground truths.

An experiment with a study of groups has this table. Its truths are the LDS of both targets, the
groups, and those studies of removal and of one run that have been made: an experiment of the same
family counts if its tables are there when a plan is made. Of it, only methods with equal settings
count, whose scores are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dasbench.experiments.files import groups, removal, replay, shared_scores
from dasbench.experiments.files.pages import methods_by_kind
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import settings

TABLES = ("truths", "tau", "missing")
_LDS = ("summary.csv", "draws.npy")
Experiments = Mapping[str, Resolved]


def _family(experiment: Resolved, experiments: Experiments) -> Iterator[Resolved]:
    """The experiments that use the same models and queries, the root first."""
    known = {
        name: e for name, e in experiments.items() if e["seed_name"] == experiment["seed_name"]
    }
    yield from sorted(known.values(), key=lambda e: (not e.is_root, e["name"]))


def _common(experiment: Resolved, other: Resolved, among: list[str]) -> list[str]:
    """Methods with equal scores in both."""
    return [m for m in among if m in other.methods and shared_scores.equal(experiment, other, m)]


def _made(files: list[str], root: Path) -> bool:
    return all((root / file).is_file() for file in files)


def _removed(other: Resolved) -> list[str]:
    return [f"{other.folder}/removal/per_query.parquet"]


def removals(experiment: Resolved, experiments: Experiments, root: Path) -> dict[str, list[str]]:
    """Experiment with a removal study that has been made -> the methods that it judges."""
    listed = methods_by_kind(experiment)["gen"]
    return {
        other["name"]: methods
        for other in filter(removal.has_removal, _family(experiment, experiments))
        if (methods := [m for m in _common(experiment, other, listed) if _removes(other, m)])
        and _made(_removed(other), root)
    }


def _removes(other: Resolved, method: str) -> bool:
    return method in other["removal"]["methods"]


def replays(experiment: Resolved, experiments: Experiments, root: Path) -> dict[str, Any]:
    """Experiment with a study of one run that has been made -> its methods and parts."""
    found, listed = {}, methods_by_kind(experiment)
    for other in filter(replay.has_replay, _family(experiment, experiments)):
        methods = {kind: _common(experiment, other, names) for kind, names in listed.items()}
        if all(methods.values()) and _made(replay.exact_files(other), root):
            found[other["name"]] = {"methods": methods, "parts": replay.parts(other)}
    return found


def missing(experiment: Resolved, experiments: Experiments, root: Path) -> list[dict[str, str]]:
    """The truths without results, each with the reason and the command that makes them."""
    rows = []
    for truth, phase, has, made in (
        ("removal", "removal", removal.has_removal, removals),
        ("exact", "replay", replay.has_replay, replays),
    ):
        if made(experiment, experiments, root):
            continue
        able = [e["name"] for e in _family(experiment, experiments) if has(e)]
        commands = " or ".join(f"./run -- {phase}_{name}" for name in able)
        reason = f"not made; {commands} makes it" if able else "no experiment of the family has it"
        rows.append({"truth": truth, "reason": reason})
    return rows


def lds_folders(experiment: Resolved) -> dict[str, dict[str, str]]:
    """Kind of query -> method -> folder of its LDS, of a parent where the settings are equal."""
    return {
        kind: {m: f"{shared_scores.home(experiment, m)}/lds/methods/{m}" for m in methods}
        for kind, methods in methods_by_kind(experiment).items()
    }


def inputs(experiment: Resolved, experiments: Experiments, root: Path) -> list[str]:
    """Everything that the table is made of."""
    folders = {f for of_kind in lds_folders(experiment).values() for f in of_kind.values()}
    files = [f"{folder}/{name}" for folder in sorted(folders) for name in _LDS]
    files += groups.tables(experiment)
    for name in removals(experiment, experiments, root):
        files += _removed(experiments[name])
    if run := replays(experiment, experiments, root):
        scores = [
            f for of_kind in groups.judged_scores(experiment).values() for f in of_kind.values()
        ]
        files += [file for name in run for file in replay.exact_files(experiments[name])] + scores
    return list(dict.fromkeys(files))


def truth_settings(experiment: Resolved, experiments: Experiments, root: Path) -> str:
    """The string of the table."""
    family = experiment, experiments, root
    return settings(
        experiment,
        experiment=experiment["name"],
        lds=lds_folders(experiment),
        root=experiment["seed_name"],
        removals=removals(*family),
        replays=replays(*family),
        scores=groups.judged_scores(experiment),
        missing=missing(*family),
        draws=experiment["lds"]["draws"],
        level=experiment["lds"]["level"],
    )


def tables(experiment: Resolved) -> list[str]:
    """The tables, if there is a study of groups."""
    made = TABLES * groups.has_groups(experiment)
    return [f"{experiment.folder}/groups/{table}.csv" for table in made]
