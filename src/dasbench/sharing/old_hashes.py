"""Read records from the time when hashes of code depended on the place of the code.

Until November 2026 a record named the code of a job by a hash over paths and syntax trees, and
modules by their full names. ``old_hashes.json`` maps each such hash of the last commit before the
change to the location-free hash of the same code. A record with one of these hashes is read with
today's hash and names, so that its output need not be computed again. A record with any other hash
stays as it is, and its output is computed again.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_suffix(".json")

_MODULE = re.compile(r'"dasbench\.(?:methods|families|datasets)\.(\w+)"')


@functools.cache
def _table() -> dict[str, str]:
    """Old hash -> new hash, both as Snakemake writes a text among params: in quotes."""
    hashes = json.loads(TABLE.read_text(encoding="utf-8"))
    return {repr(old): repr(new) for old, new in hashes.items()}


def renewed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with today's hash of its code and today's names of modules.

    Args:
        record: Of one output; ``params`` is a list of texts, or absent.

    Returns:
        A copy; equal to ``record`` if its hash is none of the old ones.
    """
    params = record.get("params")
    if not isinstance(params, list) or not any(param in _table() for param in map(str, params)):
        return dict(record)
    names = (_MODULE.sub(r'"\1"', str(param)) for param in params)
    return {**record, "params": sorted(_table().get(name, name) for name in names)}
