"""Read and write Snakemake's records, and the two files that travel with a partition.

A *record* is Snakemake's JSON file about one output (``.snakemake/metadata``): rule, params, inputs
and their checksums. A *partition* is a folder that is shared as a whole, ``results/<experiment>``
or ``data/<dataset>``. It has two files:

* the *manifest* ``provenance.json`` holds the records of its outputs with the SHA-256 of each, and
  has the same bytes on every machine;
* ``runtimes.json`` holds the times and the memory of the job of each output, ``{output: [start,
  end, max_rss]}``, in seconds since 1970 and MB or null.

A manifest comes from collaborators, so ``load`` checks all of it: each path must lie in its
partition, a rule must be a name, and a time must be a plausible number. Standard library only.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dasbench import registry
from dasbench.core.writing import write_text
from dasbench.errors import UserError

MANIFEST, RUNTIMES = "provenance.json", "runtimes.json"
KINDS = ("data", "results")
_EXPERIMENTS = "config/experiments"
# fields of a record that are the same wherever the output is made
KEEP = (
    "rule",
    "code",
    "params",
    "shellcmd",
    "input",
    "input_checksums",
    "log",
    "software_stack_hash",
    "record_format_version",
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_RULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
# limits of common file systems, in bytes: a name, and a path below the root
_LONGEST_NAME, _LONGEST_PATH = 255, 2000
# largest plausible number, in seconds since 1970 or MB; os.utime raises for larger ones
_LARGEST_TIME = 1e11


class Partition(NamedTuple):
    """The contents of one partition's two files.

    Attributes:
        entries: output -> record with ``sha256`` and ``size`` in bytes.
        times: output -> [start, end, max_rss].
    """

    entries: dict[str, dict[str, Any]]
    times: dict[str, list[float | None]]


def sha256(path: Path) -> str:
    """Digest of a file, as Snakemake writes it."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def partitions(root: Path) -> list[str]:
    """Folders that have a manifest, sorted, as paths relative to root; not those of ``ignored``."""
    left_out = ignored(root)
    return [folder for folder in _with_manifest(root) if folder not in left_out]


def ignored(root: Path) -> dict[str, str]:
    """Folders of no experiment and no data set whose manifest is not about them: folder -> reason.

    An example is a copy that a user made by hand. Nothing in such a folder is read or changed. The
    folder of a deleted experiment has a sound manifest, so it remains a partition.
    """
    reasons = {}
    if (root / _EXPERIMENTS).is_dir():
        for folder in _with_manifest(root):
            if not _has_owner(root, folder):
                try:
                    load(root, folder)
                except UserError as error:
                    origin = _copy_of(root, folder)
                    reasons[folder] = f"it is a copy of {origin}" if origin else str(error)
    return reasons


def _with_manifest(root: Path) -> list[str]:
    manifests = [path for kind in KINDS for path in root.glob(f"{kind}/*/{MANIFEST}")]
    return sorted(path.parent.relative_to(root).as_posix() for path in manifests)


def _has_owner(root: Path, folder: str) -> bool:
    """Whether an experiment or, for a folder of ``data``, a data set has the folder's name."""
    kind, name = folder.split("/")
    is_experiment = (root / _EXPERIMENTS / f"{name}.yaml").is_file()
    return is_experiment or (kind == "data" and name in registry.DATASETS)


def _copy_of(root: Path, folder: str) -> str | None:
    """The one other folder that all entries of a folder's manifest lie in."""
    named = _read_object(root, f"{folder}/{MANIFEST}", lenient=True)
    homes = {partition_of(path) if is_plain(path) else None for path in named}
    return homes.pop() if len(homes) == 1 and not homes & {None, folder} else None


def partition_of(path: str) -> str | None:
    """``results/digits`` of ``results/digits/lds/summary.csv``; None outside of partitions."""
    kind, _, rest = path.partition("/")
    name, slash, _ = rest.partition("/")
    return f"{kind}/{name}" if kind in KINDS and slash else None


def load(root: Path, folder: str) -> Partition:
    """Read a partition's files and check every path and value in them.

    Raises:
        UserError: If a file is damaged, or names a path outside of the partition.
    """
    entries = _read_object(root, f"{folder}/{MANIFEST}")
    times = _read_object(root, f"{folder}/{RUNTIMES}")
    inside = _inside(root)
    for path, entry in entries.items():
        problem = inside(folder, path) or _entry_problem(entry)
        if problem and (origin := _copy_of(root, folder)):
            raise UserError(
                f"{folder} is a copy of {origin}: its {MANIFEST} names files of {origin}; move "
                f"{folder} out of {folder.split('/')[0]}/, because no job made what it holds"
            )
        if problem:
            raise UserError(f"{folder}/{MANIFEST}: entry {path!r} is refused, because {problem}")
    sound = {path: when for path, when in times.items() if path in entries and _is_time(when)}
    return Partition(entries, sound)


def _read_object(root: Path, name: str, lenient: bool = False) -> dict[str, Any]:
    """Content of a JSON file; {} if there is none or, with ``lenient``, if it is damaged."""
    path = root / name
    if not path.is_file():
        return {}
    if lenient:
        content = read_record(path)
        return content if isinstance(content, dict) else {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{name} is damaged ({error}); fetch it again with ./run pull") from error
    if not isinstance(content, dict):
        raise UserError(f"{name} is damaged (not a mapping); fetch it again with ./run pull")
    return content


def is_plain(path: str) -> bool:
    """Whether a path is relative, has no ``..``, and is safe to open and to print."""
    parts = path.split("/")
    return (
        not {"", ".", ".."} & set(parts)
        and path.isprintable()  # no NUL, no lone surrogate, no control characters
        and max(len(part.encode()) for part in parts) <= _LONGEST_NAME
        and len(path.encode()) <= _LONGEST_PATH
    )


def benchmark(root: Path, record: Mapping[str, Any], column: str) -> float | None:
    """A number from the benchmark of a record's job.

    Args:
        root: Folder of the repository.
        record: Of an output of the job.
        column: ``max_rss``, the largest memory in MB, or ``s``, the seconds.

    Returns:
        The number, or None if the job has no benchmark.
    """
    for log in record.get("log") or ():
        name = "logs/benchmark/" + log.removeprefix("logs/").removesuffix(".log") + ".tsv"
        try:
            with (root / name).open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
            return float(rows[-1][column])
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            continue  # no benchmark, or too short a job to be measured
    return None


def inputs_of(entry: dict[str, Any]) -> dict[str, str]:
    """Inputs inside the repository and their recorded digests."""
    checksums = entry["input_checksums"] or {}
    return {name: digest for name, digest in checksums.items() if is_plain(name)}


def _inside(root: Path) -> Callable[[str, str], str | None]:
    """A function (folder, path) -> reason to refuse the path, or None; caches real folders."""
    real: dict[str, str] = {}
    cache = os.path.realpath(_cache(root))

    def resolve(folder: str) -> str:
        if folder not in real:
            real[folder] = os.path.realpath(root / folder)
        return real[folder]

    def check(folder: str, path: str) -> str | None:
        parts = path.split("/")
        if not path.startswith(f"{folder}/"):
            return f"it does not lie in {folder}"
        if not is_plain(path):
            return "it is not a plain path"
        # results/ itself may be a link of the user to another disk
        home = resolve(parts[0])
        target = resolve("/".join(parts[:-1]))
        if (root / path).is_symlink() and os.path.commonpath([home, target]) == home:
            target = os.path.realpath(root / path)
            if os.path.commonpath([cache, target]) == cache:  # cache.type = symlink
                return None
        if os.path.commonpath([home, target]) != home:
            return "a symbolic link leads out of the repository"
        return None

    return check


def _cache(root: Path) -> Path:
    """Folder of DVC's cache, by DVC's configuration: the last file that names one counts."""
    personal = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    folder = root / ".dvc/cache"
    for file in (
        Path("/etc/xdg/dvc/config"),
        personal / "dvc/config",
        root / ".dvc/config",
        root / ".dvc/config.local",
    ):
        settings = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            settings.read(file, encoding="utf-8")
        except (configparser.Error, ValueError):
            continue  # DVC says what is wrong with it
        if settings.has_option("cache", "dir"):
            folder = file.parent / Path(settings.get("cache", "dir")).expanduser()
    return folder


def _entry_problem(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not set(KEEP) <= set(entry):
        return "it is not a record"
    if not isinstance(entry.get("size"), int) or not _DIGEST.fullmatch(str(entry.get("sha256"))):
        return "its size or checksum is no number or SHA-256"
    checksums = entry["input_checksums"] or {}
    if not isinstance(checksums, dict) or not _are_texts(checksums.values()):
        return "its inputs have no checksums"
    if entry["rule"] is not None and not _RULE.fullmatch(str(entry["rule"])):
        return "its rule is no name"
    log = entry["log"] or []
    if not isinstance(log, list) or not _are_texts(log):
        return "its log is no list of files"
    return None


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_time(when: Any) -> bool:
    return (
        isinstance(when, list)
        and [_is_measured(value) for value in when[:2]] == [True, True]
        and [value is None or _is_measured(value) for value in when[2:]] == [True]
    )


def _is_measured(value: Any) -> bool:
    """Whether a value is a plausible time or memory; JSON may also hold NaN and 1e999."""
    if type(value) not in {int, float}:
        return False
    return 0 <= value <= _LARGEST_TIME and math.isfinite(value)


def store(root: Path, folder: str, partition: Partition) -> None:
    """Write those files of a partition that changed, each atomically."""
    for name, content in ((MANIFEST, partition.entries), (RUNTIMES, partition.times)):
        path = root / folder / name
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def record_path(root: Path, output: str, kind: str = "metadata") -> Path:
    """Path of Snakemake's record of an output, or, with kind ``incomplete``, of that mark."""
    name = base64.urlsafe_b64encode(output.encode()).decode()
    longest = os.pathconf(root, "PC_NAME_MAX") - 1
    parts = [name[start : start + longest] for start in range(0, len(name), longest)]
    return root.joinpath(".snakemake", kind, *("@" + part for part in parts[:-1]), parts[-1])


def records(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (output, record) of every readable record."""
    home = root / ".snakemake/metadata"
    for path in home.rglob("*"):
        if path.is_file():
            name = "".join(part.removeprefix("@") for part in path.relative_to(home).parts)
            record = read_record(path)
            if record:
                yield base64.urlsafe_b64decode(name).decode(), record


def read_record(path: Path) -> dict[str, Any]:
    """Read a record; {} if there is none, or if a killed process left it half written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
