"""Whether the files of an index are all there, and have the bytes that were written.

Every file but the two JSON files at the top has the hash of its bytes in its name, and
``index.json`` has one of its content. So a damaged file is found before an answer is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dasbench.attribution.indexed import Slab
from dasbench.commands.index_manifest import Manifest
from dasbench.core import artifacts, hashed_chunks
from dasbench.errors import UserError

CHECKED = "checked.json"
AGAIN = "build it with the same settings again"


def is_complete(folder: Path, manifest: Manifest) -> bool:
    """Whether the self-check, which is made last, is there, sound, and of all training images."""
    try:
        record = artifacts.load_json(folder / CHECKED)
        held = [folder / name for name in record.get("held_out", ())]
        sound = all(map(_is_intact, held))
        return sound and record["count"] == manifest.count and len(record["ranks"]) > 0
    except (UserError, AttributeError, KeyError, TypeError):  # missing, or damaged
        return False


def verify(folder: Path, manifest: Manifest, slabs: Sequence[Slab]) -> None:
    """Compare the bytes of all files that an answer reads with the hashes in their names.

    Args:
        folder: Of the index.
        manifest: Of the index.
        slabs: Of the index.

    Raises:
        UserError: If a file is missing or damaged; it names the first.
    """
    residuals = manifest.residuals(folder)
    paths = [path for slab in slabs for path in slab.paths]
    paths += residuals.paths if residuals else []
    files = [folder / name for name in manifest.files.values()]
    with ThreadPoolExecutor() as pool:  # the interpreter's lock is free while bytes are hashed
        sound = [*pool.map(hashed_chunks.is_sound, paths), *pool.map(_is_intact, files)]
    bad = [path for path, good in zip(paths + files, sound, strict=True) if not good]
    bad += [slab.folder / "kernel.json" for slab in slabs if not slab.is_marked()]
    if bad:
        raise UserError(
            f"{len(bad)} files of the index in {folder} are missing or damaged, such as "
            f"{bad[0].relative_to(folder)}; {AGAIN}, which makes them again"
        )


def _is_intact(file: Path) -> bool:
    return file.is_file() and hashed_chunks.matches(file)
