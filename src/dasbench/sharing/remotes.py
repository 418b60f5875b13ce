"""Transfer results between machines with DVC.

A *stage* of dvc.yaml belongs to an experiment or a data set, as in ``lds@digits``. An *out* is a
file or folder that a stage makes and DVC stores; dvc.lock names its object. DVC moves the bytes.
This module selects the outs, deletes what a killed transfer left, and explains failures.
``dvc_objects`` checks the received objects.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dasbench.core.yaml_schema import suggestion
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.sharing import dvc_objects, records
from dasbench.sharing.remote import Remote, find_remote, out_of_reach

DVC_ONCE = [sys.executable, "-m", "dasbench.sharing.dvc_once"]

# stages of the outs that people read: enough for an empty plan, without large models and features
TABLES = "tables"
TABLE_STAGES = ("scores", "lds", "removal", "report")

# DVC writes a file with such a name beside the target, then renames it
_HALF = re.compile(r"\.[A-Za-z0-9_-]{22}\.tmp")


def stages(root: Path, names: Iterable[str]) -> list[str]:
    """The stages of dvc.yaml that belong to experiments, their parents and their datasets.

    Raises:
        UserError: If dvc.yaml has no stages for an experiment, or is broken.
    """
    content = dvc_objects.read(root / "dvc.yaml")
    variables = _variables(content)
    selected: dict[str, None] = {}
    for name in names:
        owners = with_parents(root, name)
        for stage, body in content["stages"].items():
            items = variables.get(re.sub(r"[${}]", "", str(body.get("foreach"))), [])
            belonging = (
                {config.pool_name(owners[-1])} if stage == "pool" else {e["name"] for e in owners}
            )
            selected |= {f"{stage}@{item}": None for item in items if item in belonging}
        if f"report@{name}" not in selected:
            recorded = ", ".join(map(str, variables.get("recorded", [])))
            raise UserError(f"{name} is not recorded ({recorded} are); add it to vars in dvc.yaml")
    return list(selected)


def _variables(content: dict[str, Any]) -> dict[str, list[Any] | dict[str, Any]]:
    """The lists and mappings under ``vars`` of dvc.yaml; a stage exists once per item of one."""
    groups = content.get("vars")
    if not isinstance(groups, list) or not all(
        isinstance(group, dict) for group in [*groups, *content["stages"].values()]
    ):
        raise dvc_objects.damaged("dvc.yaml", "its vars or a stage are no mappings")
    variables: dict[str, Any] = {}
    for group in groups:
        variables |= group
    return {name: value for name, value in variables.items() if isinstance(value, list | dict)}


def with_parents(root: Path, name: str) -> list[config.Experiment]:
    """The experiment, its parent, the parent's parent and so on."""
    chain = [config.load(name, root)]
    while chain[-1]["parent"]:
        chain.append(config.load(chain[-1]["parent"], root))
    return chain


def locked(root: Path, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The stages of experiments in dvc.lock: stage -> out -> object.

    Raises:
        UserError: If dvc.lock has none of the stages, or is broken.
    """
    known = _recorded(root, names)
    if not known:
        raise UserError(
            f"no results of {' and '.join(names)} are recorded in dvc.lock; make them with "
            f"`./run {' '.join(names)}`, then `./run save {' '.join(names)}`"
        )
    return known


def missing(root: Path, names: Sequence[str]) -> list[str]:
    """Recorded outs that are not here, for example after a partial pull."""
    outs = [out for stage_outs in _recorded(root, names).values() for out in stage_outs]
    return [out for out in outs if not (root / out).exists()]


def _recorded(root: Path, names: Sequence[str]) -> dict[str, dict[str, str]]:
    lock = root / "dvc.lock"
    recorded = dvc_objects.read(lock)["stages"] if lock.is_file() else {}
    return {
        stage: dvc_objects.outs(root, stage, recorded[stage])
        for stage in stages(root, names)
        if stage in recorded
    }


def push(root: Path, names: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Send recorded results to the remote.

    Args:
        root: Folder of the repository.
        names: Experiments; none for all that are recorded.
        flags: For ``dvc push``.

    Returns:
        Sentences on what is recorded but not in DVC's cache here, so that it was not sent.

    Raises:
        UserError: If nothing is recorded, no remote is set, nothing can be sent, or the transfer
            fails.
    """
    known = locked(root, names or recorded(root))
    remote = find_remote(
        flags,
        "name one with `dvc remote add --default NAME URL`, or share one file with ./run bundle",
    )
    if remote.folder and not remote.folder.parent.is_dir():  # DVC would create it
        raise out_of_reach(remote, f"there is no directory {remote.folder.parent}")
    outs = {out: name for stage_outs in known.values() for out, name in stage_outs.items()}
    absent = dvc_objects.cached(root, outs).lacking
    unsaved = [out for out in absent if (root / out).exists()]
    sentences = []
    if elsewhere := [out for out in absent if out not in unsaved]:
        sentences.append(
            f"recorded in dvc.lock, but not here, so not sent: {_in_short(elsewhere, outs)}; "
            "`./run push` sends them from where they are"
        )
    if unsaved:
        sentences.append(
            f"here, but not in DVC's cache as dvc.lock records them, so not sent: "
            f"{_in_short(unsaved, outs)}; `./run save E` first"
        )
    if len(absent) == len(outs):
        raise UserError("\n".join(sentences))
    _transfer("push", remote, [*flags, *_targets(known, absent)])
    return sentences


def pull(
    root: Path, names: Sequence[str], only: Collection[str], flags: Sequence[str]
) -> list[str]:
    """Fetch recorded results from the remote, check them, and put them in place.

    Hold the lock of ``runlock`` during the call.

    Args:
        root: Folder of the repository.
        names: Experiments; none for all that are recorded.
        only: Selects some outs, see ``select``; empty for all outs.
        flags: Those of ``dvc pull`` that ``_flags`` knows.

    Returns:
        Sentences on what the remote does not have.

    Raises:
        UserError: If nothing is recorded, no remote is set, the remote has nothing of it, the
            transfer fails, or a received object is refused.
    """
    fetching, placing = _flags(flags)
    known = locked(root, names or recorded(root))
    objects = {out: name for outs in known.values() for out, name in outs.items()}
    chosen = select(known, names or recorded(root), only) if only else objects
    wanted = {out: objects[out] for out in chosen}
    remedy = f"make the results with `./run {' '.join(names) or 'E'}`, or unpack them with "
    remote = find_remote(flags, remedy + "`./run pull --bundle FILE`")
    if remote.folder and not remote.folder.is_dir():
        raise out_of_reach(remote, "there is no such directory")
    sweep(root, objects)
    cache, lacking = dvc_objects.fetch_lists(root, remote, wanted)
    sentences = [
        f"the remote {remote} does not have {_in_short(lacking, wanted)}; `./run push` sends them "
        "from where they are"
    ] * bool(lacking)
    if len(lacking) == len(wanted):
        raise UserError("\n".join(sentences))
    targets = _targets(known, objects.keys() - wanted.keys() | lacking.keys())
    _transfer("fetch", remote, [*fetching, *targets])
    given = {out: name for out, name in wanted.items() if out not in lacking}
    dvc_objects.check(root, cache, remote, given)
    _transfer("checkout", remote, [*placing, *targets])
    return sentences


def recorded(root: Path) -> list[str]:
    """Experiments that dvc.yaml lists and that dvc.lock has a stage of.

    Raises:
        UserError: If there is none, or dvc.yaml or dvc.lock is broken.
    """
    lock = root / "dvc.lock"
    locked_stages = dvc_objects.read(lock)["stages"] if lock.is_file() else {}
    items = {stage.partition("@")[2] for stage in locked_stages}
    variables = _variables(dvc_objects.read(root / "dvc.yaml"))
    found = [name for name in variables.get("recorded", []) if name in items]
    found = [name for name in found if name in config.names(root)]
    if not found:
        raise UserError(
            "no results are recorded in dvc.lock; make them with `./run E`, then `./run save E`"
        )
    return found


def _targets(known: Mapping[str, Collection[str]], absent: Collection[str]) -> list[str]:
    """Targets for DVC of all outs but the absent: stages, which DVC finds faster, or outs.

    DVC 3.67 leaves out files of stages that stand beside outs.
    """
    meant = {stage: [out for out in outs if out not in absent] for stage, outs in known.items()}
    whole = [stage for stage, outs in known.items() if len(meant[stage]) == len(outs)]
    some = [out for outs in meant.values() for out in outs]
    return whole if sum(len(known[stage]) for stage in whole) == len(some) else some


def _in_short(some: Iterable[str], outs: Iterable[str]) -> str:
    """The outs in a few words: a folder of ``results`` or ``data`` if all of its outs are meant."""
    homes: dict[str, list[str]] = {}
    for out in some:
        homes.setdefault(records.partition_of(out) or out, []).append(out)
    counts = Counter(records.partition_of(out) or out for out in outs)
    shown = [[home] if len(inner) == counts[home] > 1 else inner for home, inner in homes.items()]
    return ", ".join(name for names in shown for name in names)


def _flags(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the flags of ``dvc pull`` into those of ``dvc fetch`` and those of ``dvc checkout``.

    Raises:
        UserError: If there is another flag; most others would bring in unchecked objects.
    """
    parser = argparse.ArgumentParser(prog="./run pull", add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--remote")
    parser.add_argument("-j", "--jobs")
    for letter, word in ("f", "force"), ("q", "quiet"), ("v", "verbose"):
        parser.add_argument(f"-{letter}", f"--{word}", action="store_true")
    args, others = parser.parse_known_args(list(flags))
    if others:
        raise UserError(
            f"{others[0]} is not understood here; ./run pull takes -r NAME, -j N, --force, --quiet "
            "and --verbose of `dvc pull`"
        )
    both = [f"--{word}" for word in ("quiet", "verbose") if getattr(args, word)]
    where = [f"--remote={args.remote}"] if args.remote else []
    jobs = [f"--jobs={args.jobs}"] if args.jobs else []
    return [*both, *where, *jobs], [*both, *(["--force"] if args.force else [])]


def select(
    known: Mapping[str, Iterable[str]], names: Sequence[str], only: Collection[str]
) -> list[str]:
    """The outs that a partial pull fetches; the manifest and the runtimes are always among them.

    Args:
        known: stage -> its outs; see ``locked``.
        names: Experiments.
        only: ``tables`` (all outs of TABLE_STAGES but models), or names of files and folders in
            results/<experiment>, such as ``models/base``.

    Raises:
        UserError: If a name stands for no out.
    """
    selected: dict[str, None] = {}
    for name in names:
        home = f"results/{name}/"
        stage_of = {
            out.removeprefix(home): stage.split("@")[0]
            for stage, outs in known.items()
            for out in outs
            if out.startswith(home)
        }
        selection = {records.MANIFEST, records.RUNTIMES} & set(stage_of)
        for word in only:
            hits = {out for out, stage in stage_of.items() if _stands_for(word, out, stage)}
            if not hits:
                folders = sorted({*stage_of, *(out.split("/")[0] for out in stage_of)})
                raise UserError(
                    f"--only {word} is nothing that {name} has; expected {TABLES}, or one of "
                    f"{', '.join(folders)}{suggestion(word, [TABLES, *folders])}"
                )
            selection |= hits
        selected |= {home + out: None for out in sorted(selection)}
    return list(selected)


def _stands_for(word: str, out: str, stage: str) -> bool:
    if word == TABLES:
        return stage in TABLE_STAGES and not out.startswith("models/")
    return f"{out}/".startswith(f"{word.rstrip('/')}/")


def sweep(root: Path, outs: Iterable[str]) -> list[Path]:
    """Delete half-written files of a killed ``dvc pull``. DVC would take them for unsaved work.

    A half-written copy has a temporary name of DVC. A half-written reflink is empty, and no output
    of a job is empty.

    Returns:
        The deleted files.
    """
    half = set()
    for out in outs:
        if records.partition_of(out) is None or ".." in out.split("/"):
            continue  # dvc.lock may be edited: touch no file outside of partitions
        place = root / out
        inside = place.rglob("*") if place.is_dir() else [place, *place.parent.glob(".*.tmp")]
        half |= {p for p in inside if p.is_file() and not p.is_symlink() and _is_half(p)}
    for path in half:
        path.unlink()
    return sorted(half)


def _is_half(path: Path) -> bool:
    return bool(_HALF.fullmatch(path.name)) or path.stat().st_size == 0


def commit(stages: Sequence[str]) -> None:
    """Record the outputs of stages in ``dvc.lock``: all of them or, if DVC fails, none.

    Raises:
        UserError: If DVC fails; what it says is printed.
    """
    command = [*DVC_ONCE, "commit", "--force", *stages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
        raise UserError("`dvc commit` failed; see above")


def _transfer(action: str, remote: Remote, arguments: Sequence[str]) -> None:
    """Run DVC with its messages and progress bars visible."""
    if subprocess.run([*DVC_ONCE, action, *arguments], check=False).returncode:
        command = "push" if action == "push" else "pull"
        remedy = {
            "push": "the remote must allow writing, a plain web server does not",
            "fetch": "files that the remote does not have must be sent with `./run push` by "
            "whoever has them",
            "checkout": "results here that are recorded nowhere are kept by `./run save`, or "
            "dropped by `./run pull --force`",
        }
        raise UserError(
            f"`dvc {action}` with the remote {remote} failed, see above; nothing is lost, "
            f"`./run {command}` goes on from there; {remedy[action]}"
        )
