"""Pack everything that belongs to an experiment into one tar, and unpack it.

A *bundle* holds partitions: that of the experiment, and those that it was made from. Of each it
holds the manifest and all outputs that the manifest names (words: ``dasbench.sharing.records``).

A bundle comes from somebody else. So ``unpack`` accepts only regular files inside their partition
that a manifest of the bundle names, with the recorded size and digest. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dasbench.core.writing import atomic
from dasbench.errors import UserError
from dasbench.sharing.provenance import inputs_of
from dasbench.sharing.records import (
    KINDS,
    MANIFEST,
    RUNTIMES,
    Partition,
    load,
    partition_of,
    partitions,
    record_path,
    sha256,
)

# bytes; a manifest is read into memory
_LARGEST_MANIFEST = 1 << 30


def create(root: Path, experiment: str, target: Path) -> int:
    """Write a bundle.

    Args:
        root: Folder of the repository.
        experiment: Name of the experiment.
        target: The tar to write.

    Returns:
        Number of outputs in the bundle.

    Raises:
        UserError: If nothing is recorded, or an output is missing or damaged.
    """
    included = dict(_with_sources(root, f"results/{experiment}"))
    if f"results/{experiment}" not in included:
        raise UserError(f"nothing is recorded of {experiment} here; `./run {experiment}` makes it")
    outputs = [
        (output, entry)
        for partition in included.values()
        for output, entry in partition.entries.items()
    ]
    for output, entry in outputs:
        if not (root / output).is_file() or sha256(root / output) != entry["sha256"]:
            raise UserError(
                f"{output} is missing or damaged; `./run verify {experiment}` tells more"
            )
    names = [f"{folder}/{name}" for folder in included for name in (MANIFEST, RUNTIMES)]
    names = sorted([*names, *(output for output, _ in outputs)])
    with atomic(target) as temporary, tarfile.open(temporary, "w", dereference=True) as tar:
        for name in names:
            if (root / name).is_file():
                tar.add(root / name, name, recursive=False, filter=_anonymous)
    return len(outputs)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop owner, time and mode, so that the same results give the same bytes."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _with_sources(root: Path, folder: str) -> Iterator[tuple[str, Partition]]:
    """Yield a partition, and all partitions that it was made from."""
    known, waiting, seen = set(partitions(root)), [folder], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in known:
            continue
        seen.add(name)
        partition = load(root, name)
        yield name, partition
        for entry in partition.entries.values():
            waiting += {partition_of(source) or "" for source in inputs_of(entry)}


def unpack(root: Path, source: Path, force: bool = False) -> int:
    """Check all outputs and manifests of a bundle, then put them in their places.

    Args:
        root: Folder of the repository.
        source: The tar.
        force: Replace files that are here with other bytes.

    Returns:
        Number of outputs.

    Raises:
        UserError: If the file is no sound bundle, or would replace other results.
    """
    try:
        with (
            tarfile.open(source, "r:") as tar,
            tempfile.TemporaryDirectory(prefix=".part-", dir=root) as folder,
        ):
            staging = Path(folder)
            outputs = _stage(tar, staging, source)
            _check_room(root, staging, outputs, force)
            names = sorted(
                p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file()
            )
            # manifests last, because a manifest says that all outputs are here
            for name in sorted(names, key=lambda name: name not in outputs):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                record_path(root, name).unlink(missing_ok=True)
                shutil.move(staging / name, root / name)
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{source} is not a bundle of ./run bundle: {error}") from error
    except OSError as error:
        raise UserError(f"{source} could not be unpacked: {error.strerror or error}") from error
    return len(outputs)


def _stage(tar: tarfile.TarFile, staging: Path, source: Path) -> dict[str, str]:
    """Unpack the outputs that the manifests name into an empty folder: output -> digest."""
    members = {member.name: member for member in tar.getmembers()}
    folders = {partition_of(name) for name in members} - {None}
    control = {f"{folder}/{name}" for folder in folders for name in (MANIFEST, RUNTIMES)}
    for name in sorted(control & set(members)):
        if members[name].size > _LARGEST_MANIFEST:
            raise UserError(f"{source} is refused: its {name} is larger than a manifest can be")
        _extract(tar, members[name], staging, source)
    entries = {}
    for folder in sorted(folders):
        entries |= load(staging, folder).entries
    for name, member in members.items():
        if name in control:
            continue
        if name not in entries or member.size != entries[name]["size"]:
            raise UserError(f"{source} is refused: {name!r} is not what its manifests name")
        _extract(tar, member, staging, source)
    for name, entry in entries.items():
        if not (staging / name).is_file() or sha256(staging / name) != entry["sha256"]:
            raise UserError(
                f"{source} is damaged: {name} is missing or has other bytes; get it again"
            )
    if not entries:
        raise UserError(f"{source} is not a bundle of ./run bundle: it names no outputs")
    return {name: entry["sha256"] for name, entry in entries.items()}


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, staging: Path, source: Path) -> None:
    parts = member.name.split("/")
    # a sparse member may claim any size without holding it
    plain = member.isreg() and not member.issparse()
    if not plain or parts[0] not in KINDS or {"", ".", ".."} & set(parts):
        raise UserError(f"{source} is refused: {member.name!r} is no plain file of results or data")
    # copy bytes alone: Python 3.11.0 does not have the extraction filters of tarfile yet
    target = staging / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tar.extractfile(member) as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file)


def _check_room(root: Path, staging: Path, outputs: dict[str, str], force: bool) -> None:
    """Refuse to write through a link, or to replace a different result without ``force``."""
    for name in outputs:
        here = root / name
        home = os.path.realpath(root / name.split("/")[0])
        if os.path.commonpath([home, os.path.realpath(here.parent)]) != home:
            raise UserError(f"{name} would be written through a symbolic link; remove the link")
    differing = [
        name
        for name, digest in outputs.items()
        if (root / name).is_file() and sha256(root / name) != digest
    ]
    if differing and not force:
        raise UserError(
            f"{len(differing)} results here differ from the bundle's, such as {differing[0]}; "
            "./run pull --bundle FILE --force replaces them"
        )
