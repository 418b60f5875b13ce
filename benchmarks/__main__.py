"""``./run bench [NAME...] [--repeats 5] [--quick]``: measure, print, and renew the pages."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import evidence_page, goals, harness, page
from benchmarks.machine import ROOT
from dasbench.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run parts (none named: all); status 1 if one failed."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(harness.PARTS))
    parser.add_argument("--repeats", type=int, default=5, help="turns that count (5)")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, written to a temporary folder"
    )
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in harness.PARTS]:
        raise UserError(f"{unknown[0]} is not a part; choose from {', '.join(harness.PARTS)}")
    home = ROOT
    if given.quick:
        home = Path(tempfile.mkdtemp(prefix="dasbench-"))
        (home / "docs").mkdir()
        for name in ("performance.md", "evidence.md"):
            shutil.copy2(ROOT / "docs" / name, home / "docs")
    folder = home / "benchmarks"
    repeats = 1 if given.quick else given.repeats
    failed = harness.run(
        given.names or [name for name in harness.PARTS if name not in harness.NAMED],
        folder,
        repeats,
        given.quick,
    )
    results, details = (harness.load(folder, kind) for kind in ("results", "details"))
    if "calibration" in details:
        evidence_page.write(home / "docs", details["calibration"])
    if results:
        page.write(home / "docs", results, details)
        print(goals.table(results, details))
    print(f"details are in {folder / 'details.json'}, the pages are in {home / 'docs'}")
    for name, why in failed.items():
        print(f"{name} failed: {why}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"run: {error}")
