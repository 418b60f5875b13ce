"""The command line of DVC, which reads ``dvc.lock`` once: ``python -m dasbench.sharing.dvc_once``.

DVC 3.67 parses and checks all of ``dvc.lock`` again for each target of a command. With the stages
of one experiment as targets, that takes most of the time of a transfer.
"""

from __future__ import annotations

import copy
import os
import sys
from typing import Any


def remember_lock_files() -> None:
    """Let DVC keep the content of a lock file as long as the file stays the same.

    If another version of DVC has no such function to replace, it works as it is.
    """
    from dvc import dvcfile

    lock_file = getattr(dvcfile, "Lockfile", None)
    read = getattr(lock_file, "_load_yaml", None)
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

    lock_file._load_yaml = load


if __name__ == "__main__":
    from dvc import cli

    remember_lock_files()
    sys.exit(cli.main(sys.argv[1:]))
