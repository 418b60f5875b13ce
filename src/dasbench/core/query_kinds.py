"""Names of files that both the rules and the package must know; standard library only.

An experiment without held-out images (``queries.val: 0``) has no queries of the kind ``val``, and
no file of them.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

KINDS = ("val", "gen")
TARGETS = ("loss", "displacement")
NO_HELD_OUT = "no held-out images"
SPECTRUM = ("eigenvalues", "eigenvectors")


def of(experiment: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of queries that an experiment has, in the order of ``KINDS``."""
    return tuple(kind for kind in KINDS if experiment["queries"][kind])


def present(queries: Path) -> tuple[str, ...]:
    """The kinds whose queries lie in a folder, in the order of ``KINDS``."""
    return tuple(kind for kind in KINDS if (queries / f"{kind}.npy").is_file())


def among(names: Container[str]) -> tuple[str, ...]:
    """The kinds among some names, in the order of ``KINDS``."""
    return tuple(kind for kind in KINDS if kind in names)


def query_files(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the files of queries."""
    files = [f"{kind}{end}.npy" for kind in kinds for end in ("", "_labels")]
    return (*files, "gen_noise.npy", "uses.json")


def computed(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the files of scores that need the network, at all their dampings."""
    return ("dampings", *kinds)


def output_files(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the files of outputs of subset models."""
    return tuple(f"{target}-{kind}.npy" for target in TARGETS for kind in kinds)
