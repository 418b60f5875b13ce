"""The command line of DVC, which reads ``dvc.yaml`` and ``dvc.lock`` once, and writes them once.

DVC 3.67 parses and checks both files again for each target of a command, and ``dvc commit`` writes
``dvc.lock`` again for each. With the stages of one experiment as targets, that takes most of the
time. Run it as ``python -m dasbench.sharing.dvc_once``.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def remember_files() -> None:
    """Let DVC keep the content of ``dvc.yaml`` and ``dvc.lock`` as long as the files stay the same.

    If another version of DVC has no such function to replace, it works as it is.
    """
    from dvc import dvcfile

    files = getattr(dvcfile, "FileMixin", None)
    read = getattr(files, "_load_yaml", None)
    if read is None:
        return
    known: dict[tuple[str, int, int, str], Any] = {}

    def load(self: Any, **kwargs: Any) -> Any:
        stat = os.stat(self.path)
        key = (self.path, stat.st_mtime_ns, stat.st_size, repr(sorted(kwargs.items())))
        if kwargs.get("round_trip"):  # to be edited
            return read(self, **kwargs)
        if key not in known:
            known[key] = read(self, **kwargs)
        return copy.deepcopy(known[key])

    files._load_yaml = load


@contextmanager
def write_lock_files_at_the_end() -> Iterator[None]:
    """Let DVC write a lock file once, with all stages, and not at all if an error is raised.

    If another version of DVC has no such function to replace, it works as it is.
    """
    from dvc import dvcfile

    lock_file = getattr(dvcfile, "Lockfile", None)
    write = getattr(lock_file, "dump_stages", None)
    if write is None:
        yield
        return
    waiting: dict[tuple[str, str], tuple[Any, list[Any], dict[str, Any]]] = {}

    def dump_stages(self: Any, stages: Sequence[Any], **kwargs: Any) -> None:
        key = (self.path, repr(sorted(kwargs.items())))
        waiting.setdefault(key, (self, [], kwargs))[1].extend(stages)

    lock_file.dump_stages = dump_stages
    try:
        yield
    finally:
        lock_file.dump_stages = write
    for file, stages, kwargs in waiting.values():
        write(file, stages, **kwargs)


def main(arguments: Sequence[str]) -> int:
    """Run DVC's command line; the lock file of ``dvc commit`` is written if all went well."""
    from dvc import cli

    remember_files()
    if list(arguments[:1]) != ["commit"]:
        return cli.main(list(arguments))
    with write_lock_files_at_the_end():
        status = cli.main(list(arguments))
        if status:
            raise SystemExit(status)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
