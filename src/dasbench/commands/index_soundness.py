"""Whether an index is complete, and its files have the bytes that were written.

Every file but the two JSON files at the top has the hash of its bytes in its name, and these two
have a hash of their content. So a damaged file is found before an answer is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dasbench.attribution.indexed import Slab
from dasbench.commands import index_manifest
from dasbench.commands.index_manifest import Manifest
from dasbench.core import artifacts, hashed_chunks
from dasbench.errors import UserError

CHECKED = "checked.json"
AGAIN = "build it with the same settings again"


def checked(folder: Path) -> dict[str, Any]:
    """The content of ``checked.json``, the self-check.

    Returns:
        count: N; rows: the training images that asked about themselves; ranks: theirs; and with
        decoys held_out: names of the files with the scores of held-out decoys.

    Raises:
        UserError: If it is missing or damaged.
    """
    record = artifacts.load_json(folder / CHECKED)
    if not index_manifest.is_sealed(record):
        raise UserError(f"{folder / CHECKED} is damaged; {AGAIN}, which makes it again")
    return record


def is_complete(folder: Path, manifest: Manifest) -> bool:
    """Whether the self-check, which is made last, is there, sound, and of all training images."""
    try:
        record = checked(folder)
    except UserError:
        return False
    held = [folder / name for name in record.get("held_out", ())]
    return record["count"] == manifest.count and all(map(_is_intact, held))


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
    with ThreadPoolExecutor() as pool:  # the interpreter's lock is free while bytes are hashed
        sound = list(pool.map(hashed_chunks.is_sound, paths))
    bad = [path for path, good in zip(paths, sound, strict=True) if not good]
    bad += [slab.folder / "kernel.json" for slab in slabs if not slab.is_marked()]
    _refuse(folder, manifest, bad + _bad_images(folder, manifest))


def verify_images(folder: Path, manifest: Manifest) -> None:
    """Compare the bytes of the files of images alone with the hashes in their names.

    Raises:
        UserError: If a file is missing or damaged; it names the first.
    """
    _refuse(folder, manifest, _bad_images(folder, manifest))


def _bad_images(folder: Path, manifest: Manifest) -> list[Path]:
    files = [folder / name for name in manifest.files.values()]
    with ThreadPoolExecutor() as pool:
        return [
            file for file, good in zip(files, pool.map(_is_intact, files), strict=True) if not good
        ]


def _refuse(folder: Path, manifest: Manifest, bad: Sequence[Path]) -> None:
    """Refuse damaged files, and say what makes them again."""
    if not bad:
        return
    again, whole = AGAIN, {folder / manifest.files[name] for name in ("pixels", "images")}
    if len(manifest.parts) > 1 and whole & set(bad):
        again += (
            f" from all {manifest.count} training images, in the order in which they were added "
            f"(folders: dasbench.Index.build(MODEL, [FIRST, ADDED, ...], {str(folder)!r}))"
        )
    raise UserError(
        f"{len(bad)} files of the index in {folder} are missing or damaged, such as "
        f"{bad[0].relative_to(folder)}; {again}, which makes them again"
    )


def _is_intact(file: Path) -> bool:
    return file.is_file() and hashed_chunks.matches(file)
