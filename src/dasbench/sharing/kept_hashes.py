"""Code hashes that are kept on disk until a file of the code changes.

A plan asks for about 70 hashes. Parsing the code for them takes a fifth of the time of a plan;
reading it, to see that it has not changed, takes a hundredth.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import sys
from contextlib import suppress
from pathlib import Path

from dasbench.core import writing
from dasbench.errors import UserError
from dasbench.sharing.codehash import Tree


class KeptHashes:
    """Hashes as ``codehash.Tree`` computes them, from a file if no code has changed since."""

    def __init__(self, root: str | Path, file: Path):
        """Take the root of the repository and the file that keeps the hashes."""
        self.root = Path(root)
        self.file = file
        self.tree = Tree(root)
        self.state = _state(self.root)
        self.hashes = self._kept()
        self.count = len(self.hashes)
        atexit.register(self.keep)

    def code_hash(self, *files: str | Path) -> str:
        """Hash scripts and modules, as ``codehash.code_hash`` does."""
        key = "\n".join(sorted(map(str, files)))
        if key not in self.hashes:
            self.hashes[key] = self.tree.code_hash(*files)
        return self.hashes[key]

    def keep(self) -> None:
        """Write the hashes, unless they are there or a file changed while they were computed."""
        if len(self.hashes) == self.count or _state(self.root) != self.state:
            return
        with suppress(UserError):  # a folder that refuses files makes the next plan slower
            writing.write_text(self.file, json.dumps({"state": self.state, "hashes": self.hashes}))

    def _kept(self) -> dict[str, str]:
        with suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(self.file.read_bytes())
            if kept["state"] == self.state:
                return dict(kept["hashes"])
        return {}


def _state(root: Path) -> str:
    """Digest of all code of the repository, and of the Python that parses it."""
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted([*root.glob("src/**/*.py"), *root.glob("scripts/*.py")]):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
