"""Carry Snakemake's records with the outputs, so that a clone knows the job behind each output.

Words: see ``dasbench.sharing.records``.

* ``save``: records -> manifests.
* ``restore``: manifests -> records, for every output whose bytes are the recorded ones. A fetched
  manifest counts more than Snakemake's record: it belongs to the fetched experiment file.
* ``verify``: hash every output and every recorded input again, whatever the time stamps say.
* ``prune``: forget and delete outputs that the graph no longer makes.

The memory of a job comes from its benchmark: ``logs/benchmark/X.tsv`` for the log ``logs/X.log``.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dasbench.core.writing import write_text
from dasbench.sharing.records import (
    KEEP,
    MANIFEST,
    Partition,
    benchmark,
    inputs_of,
    load,
    partition_of,
    partitions,
    read_record,
    record_path,
    records,
    sha256,
    store,
)

# seconds; Snakemake records the time stamp of the output as the end of its job, rounded as a float
_SAME_TIME = 1e-3
# JSON: folder -> digest of its manifest when it last agreed with Snakemake's records
_AGREED = ".snakemake/das-manifests.json"


class Verdict(NamedTuple):
    """The result of ``verify``.

    Attributes:
        problems: One sentence per damaged, missing or outdated output.
        recorded: Number of recorded outputs.
        absent: Number of recorded outputs that were never made or fetched here.
    """

    problems: list[str]
    recorded: int
    absent: int


def save(root: str | Path, experiments: Collection[str] | None = None) -> list[str]:
    """Write the manifests of all outputs that jobs have made.

    An output keeps its recorded digest while its record stays the same, so ``verify`` finds bytes
    that changed after the job. An output that is not here stays recorded until ``prune``.

    Args:
        root: Folder of the repository.
        experiments: Only ``results/<experiment>`` of these; None for all partitions.

    Returns:
        The outputs that jobs have made since the last call.
    """
    root = Path(root)
    restore(root, [folder for folder in partitions(root) if _is_foreign(root, folder)])
    old: dict[str, Partition] = {}
    new: dict[str, Partition] = {}
    renewed = []
    for output, record in records(root):
        folder = partition_of(output)
        if folder is None or not _selected(folder, experiments) or not (root / output).is_file():
            continue
        if folder not in old:
            old[folder] = load(root, folder)
            new[folder] = Partition(dict(old[folder].entries), dict(old[folder].times))
        entry, when = _entry(root, output, record, old[folder])
        new[folder].entries[output], new[folder].times[output] = entry, when
        if when != old[folder].times.get(output):
            renewed.append(output)
    for folder, partition in new.items():
        store(root, folder, partition)
    _agree(root, new)
    return renewed


def _entry(
    root: Path, output: str, record: Mapping[str, Any], old: Partition
) -> tuple[dict[str, Any], list[float | None]]:
    span = [record.get("starttime"), record.get("endtime")]
    known, before = old.entries.get(output), old.times.get(output, [None, None, None])
    kept = {key: record.get(key) for key in KEEP}
    remote = None not in span and span[0] > span[1]
    # ``restore`` writes start = end if it does not know the times
    untimed = before[:2] == [None, None] and span[0] == span[1]
    if known and (untimed or before[remote:2] == span[remote:]):
        memory = benchmark(root, record, "max_rss") if before[2] is None else before[2]
        same = {**kept, "sha256": known["sha256"], "size": known["size"]}
        return same, [*before[:2], memory]
    path = root / output
    entry = {**kept, "sha256": sha256(path), "size": path.stat().st_size}
    if remote:
        # a cluster's job: Snakemake records as its start when it heard of its end
        span[0] = span[1] - (benchmark(root, record, "s") or 0.0)
    return entry, [*span, benchmark(root, record, "max_rss")]


def _selected(folder: str, experiments: Collection[str] | None) -> bool:
    kind, name = folder.split("/")
    return experiments is None or (kind == "results" and name in experiments)


def restore(
    root: str | Path, folders: Collection[str] | None = None, altered: list[str] | None = None
) -> int:
    """Give Snakemake the records of all outputs that are here with the recorded bytes.

    Args:
        root: Folder of the repository.
        folders: Only these partitions; None for all.
        altered: A list to extend with the outputs that changed although no job made them again.
            They were damaged or edited, and later jobs would read them.

    Returns:
        Number of outputs whose record was written.

    Raises:
        UserError: If a manifest is damaged, or names a path outside of its partition.
    """
    root = Path(root)
    folders = partitions(root) if folders is None else folders
    count = 0
    for folder in folders:
        partition, foreign = load(root, folder), _is_foreign(root, folder)
        for output, entry in partition.entries.items():
            if not (root / output).is_file():
                continue
            untouched = _untouched(root, output)
            if untouched and not (foreign and _otherwise(root, output, entry)):
                continue  # Snakemake's record is valid
            if _same_bytes(root / output, entry):
                _restore(root, output, entry, partition.times.get(output))
                count += 1
            elif altered is not None and not untouched and not _incomplete(root, output):
                altered.append(output)  # a warning only: Snakemake decides whether to make it again
    _agree(root, folders)
    return count


def _is_foreign(root: Path, folder: str) -> bool:
    """Whether a manifest was fetched: it is not the one that was last saved or restored here."""
    return read_record(root / _AGREED).get(folder) != sha256(root / folder / MANIFEST)


def _agree(root: Path, folders: Iterable[str]) -> None:
    agreed = read_record(root / _AGREED)
    now = agreed | {folder: sha256(root / folder / MANIFEST) for folder in folders}
    if now != agreed:
        write_text(root / _AGREED, json.dumps(now, indent=1, sort_keys=True) + "\n")


def _untouched(root: Path, output: str) -> bool:
    """Whether a job on this machine wrote the output, and nothing has written to it since."""
    recorded = read_record(record_path(root, output))
    ended = recorded.get("endtime") or 0
    return bool(recorded) and abs(ended - (root / output).stat().st_mtime) < _SAME_TIME


def _otherwise(root: Path, output: str, entry: Mapping[str, Any]) -> bool:
    """Whether the manifest and Snakemake's record of an output name different settings."""
    recorded = read_record(record_path(root, output))
    return any(recorded.get(key) != entry[key] for key in KEEP)


def _incomplete(root: Path, output: str) -> bool:
    return record_path(root, output, "incomplete").exists()


def _same_bytes(path: Path, entry: Mapping[str, Any]) -> bool:
    return path.stat().st_size == entry["size"] and sha256(path) == entry["sha256"]


def _restore(root: Path, output: str, entry: Mapping[str, Any], when: list | None) -> None:
    path, record = root / output, record_path(root, output)
    stat = path.stat()
    start, end = when[:2] if when else (stat.st_mtime, stat.st_mtime)
    kept = {key: entry[key] for key in KEEP}
    mark = record_path(root, output, "incomplete")
    mark.parent.mkdir(parents=True, exist_ok=True)  # without it Snakemake assumes an old format
    write_text(record, json.dumps({**kept, "starttime": start, "endtime": end}))
    mark.unlink(missing_ok=True)
    try:
        os.utime(path, (end, end))  # keep the order; DVC drops time stamps
    except OSError:
        pass  # a link into a shared cache that belongs to someone else


def verify(root: str | Path, experiments: Collection[str] | None = None) -> Verdict:
    """Hash everything again and compare it with the manifests.

    Args:
        root: Folder of the repository.
        experiments: Only these, and the partitions that they were made from; None for all.

    Raises:
        UserError: If a manifest is damaged, or names a path outside of its partition.
    """
    root = Path(root)
    entries = _with_inputs(root, [f for f in partitions(root) if _selected(f, experiments)])
    digests: dict[str, str | None] = {}

    def digest(name: str) -> str | None:
        if name not in digests:
            digests[name] = sha256(root / name) if (root / name).is_file() else None
        return digests[name]

    problems, absent = [], 0
    for output, entry in sorted(entries.items()):
        again = _again(output, entries)
        stopped = record_path(root, output, "incomplete").exists()
        if stopped and digest(output) != entry["sha256"]:
            again = f"`./run {_remaker(output, entries)}` makes it"
            problems.append(f"{output} is incomplete, because its run was stopped; {again}")
        elif digest(output) is None:
            if record_path(root, output).exists():
                problems.append(f"{output} is missing; {again}")
            absent += not record_path(root, output).exists()
        elif digest(output) != entry["sha256"]:
            problems.append(f"{output} is damaged: its bytes are not the recorded ones; {again}")
        else:
            other = _changed_input(entry, entries, digest)
            if other:
                problems.append(f"{output} was made from another {other}; {again}")
    return Verdict(problems, len(entries), absent)


def mixed(root: str | Path, outputs: Collection[str]) -> list[str]:
    """Find outputs that were made from inputs with other bytes than recorded.

    Only such inputs are hashed. If the input has its recorded bytes again, the remedy is to make
    the output again, otherwise the input.

    Args:
        root: Folder of the repository.
        outputs: The outputs to check, such as those that ``save`` returns.

    Returns:
        One sentence for each such output, with the remedy.

    Raises:
        UserError: If a manifest is damaged, or names a path outside of its partition.
    """
    root, sentences = Path(root), []
    homes = {partition_of(output) or "" for output in outputs}
    entries = _with_inputs(root, homes.intersection(partitions(root)))
    recorded = {name: entry["sha256"] for name, entry in entries.items()}.get
    for output in sorted(entries.keys() & set(outputs)):
        if other := _changed_input(entries[output], entries, recorded):
            sound = (root / other).is_file() and _same_bytes(root / other, entries[other])
            again = _again(output if sound else other, entries)
            sentences.append(f"{output} was made from another {other}; {again}")
    return sentences


def _again(output: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
    return f"`./run {_remaker(output, entries)} --forcerun {shlex.quote(output)}` makes it again"


def _with_inputs(root: Path, folders: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Entries of the folders, and of all partitions with inputs of these entries."""
    entries: dict[str, dict[str, Any]] = {}
    waiting, seen, known = list(folders), set(), partitions(root)
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        recorded = load(root, folder).entries
        entries |= recorded
        sources = {partition_of(name) for entry in recorded.values() for name in inputs_of(entry)}
        waiting += [source for source in sources if source in known]
    return entries


def _changed_input(
    entry: Mapping[str, Any], entries: Mapping[str, Any], digest: Callable[[str], str | None]
) -> str | None:
    """An input that is undamaged, but has other bytes than the output was made from."""
    for name, recorded in inputs_of(entry).items():
        damaged = name in entries and digest(name) != entries[name]["sha256"]
        if digest(name) not in {None, recorded} and not damaged:
            return name
    return None


def _remaker(output: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """An experiment whose run makes the output; for data, an experiment that reads them."""
    folder = partition_of(output) or ""
    if folder.startswith("results/"):
        return folder.removeprefix("results/")
    users = (other for other, entry in entries.items() if output in inputs_of(entry))
    homes = sorted({partition_of(other) or "" for other in users})
    return next((h.removeprefix("results/") for h in homes if h.startswith("results/")), "digits")


def prune(
    root: str | Path,
    wanted: Collection[str],
    experiments: Collection[str] | None = None,
    yes: bool = False,
) -> list[str]:
    """List, and with ``yes`` delete and forget, recorded outputs that the graph does not make.

    Args:
        root: Folder of the repository.
        wanted: All outputs that the graph makes now.
        experiments: Only ``results/<experiment>`` of these; None for all partitions.
        yes: Delete, instead of only list.

    Returns:
        The outputs that the graph does not make, sorted in each partition.

    Raises:
        UserError: If a manifest is damaged, or names a path outside of its partition.
    """
    root = Path(root)
    stale = []
    for folder in partitions(root):
        if not _selected(folder, experiments):
            continue
        partition = load(root, folder)
        gone = sorted(partition.entries.keys() - set(wanted))
        stale += gone
        if yes and gone:
            for output in gone:
                _delete(root, output)
            kept = ({k: v for k, v in part.items() if k not in gone} for part in partition)
            store(root, folder, Partition(*kept))
    return stale


def _delete(root: Path, output: str) -> None:
    """Delete an output, its record, and the folders that it leaves empty."""
    (root / output).unlink(missing_ok=True)
    record_path(root, output).unlink(missing_ok=True)
    home = root / (partition_of(output) or "")
    for folder in (root / output).parents:
        if folder == home or (folder.is_dir() and any(folder.iterdir())):
            return
        if folder.is_dir():
            folder.rmdir()


def tell(verdict: Verdict) -> int:
    """Print a verdict; the exit status is 1 if there are problems."""
    for problem in verdict.problems:
        print(problem)
    checked = verdict.recorded - verdict.absent
    unfetched = (
        f" ({verdict.absent} more were never made or fetched here)" if verdict.absent else ""
    )
    print(f"{checked} outputs checked{unfetched}, {len(verdict.problems)} problems")
    return 1 if verdict.problems else 0
