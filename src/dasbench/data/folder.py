"""The user's own pictures: a folder with files of any size and mode.

The name of a label is a subfolder of the first level, or comes from a CSV with the columns ``file``
(relative to the folder) and ``label``. Labels number these names in alphabetical order. Files that
cannot be read are listed; they are an error unless ``skip_bad: true`` leaves them out.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.data import decode
from dasbench.data import files as sources
from dasbench.errors import UserError

SHOWN = 20  # files that a message names


def read(options: Mapping[str, Any]) -> sources.Source:
    """Read and scale the pictures.

    Args:
        options: The ``data`` section: ``path``, ``labels``, ``size``, ``resize``, ``background``,
            ``channels``, ``skip_bad``, ``classes``, ``limit``.

    Returns:
        Images [n, size, size, channels] in the order of their paths; all in the training part.

    Raises:
        UserError: If the folder is absent or empty, a size is missing, a file is no picture and
            ``skip_bad`` is not set, or the CSV does not fit.
    """
    folder = _folder(options)
    if options["size"] is None:
        raise UserError("data.size is missing; expected the side in pixels that pictures get")
    named = labelled(folder, options["labels"])
    paths, names = list(named), sorted(set(named.values()))
    labels = np.asarray([names.index(named[file]) for file in paths], np.int64)
    kept = sources.chosen(labels, np.zeros(len(paths), np.uint8), options)
    images, good, bad = [], [], []
    for i in kept:
        try:
            images.append(
                decode.read(
                    folder / paths[i],
                    options["size"],
                    options["resize"],
                    options["background"],
                    options["channels"],
                )
            )
            good.append(i)
        except decode.UnreadableError as error:
            bad.append((paths[i], str(error)))
    tell(folder, bad, options["skip_bad"])
    if not images:
        raise UserError(
            f"{folder} holds no picture that can be read; expected PNG, JPEG or the like"
        )
    return sources.Source(
        np.stack(images),
        labels[good],
        np.zeros(len(good), np.uint8),
        {i: sources.safe_name(name) for i, name in enumerate(names)},
        {"left_out": [sources.safe_name(name) for name, _ in bad]} if bad else {},
    )


def _folder(options: Mapping[str, Any]) -> Path:
    if not options["path"]:
        raise UserError("data.path is missing; expected the folder with the pictures")
    folder = Path(options["path"]).expanduser()
    if not folder.is_dir():
        about = options["about"]
        how = (
            f": fetch {about['fetch']} ({about['size']}; licence: {about['licence']})"
            if about.get("fetch")
            else ""
        )
        raise UserError(f"{folder} is not here{how}; or name another folder in data.path")
    return folder


def files(folder: Path) -> list[str]:
    """Sorted paths of the pictures below a folder, relative to it; hidden files are left out."""
    pictures = []
    for place, folders, names in os.walk(folder):  # follows no links to folders
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        subfolder = Path(place).relative_to(folder)
        pictures += [
            (subfolder / name).as_posix()
            for name in names
            if Path(name).suffix.lower() in decode.SUFFIXES and not name.startswith(".")
        ]
    return sorted(pictures)


def labelled(folder: Path, table: str | Path | None) -> dict[str, str]:
    """Path -> name of the label, for the pictures of a folder in the order of their paths.

    Args:
        folder: Folder of the pictures.
        table: CSV with the columns ``file`` and ``label``; pictures that it does not list are left
            out. With None, every picture has its subfolder of the first level as label.

    Raises:
        UserError: If the CSV cannot be read, lacks a column, or lists a file that does not exist.
    """
    pictures = files(folder)
    if not table:
        return {file: _subfolder(file) for file in pictures}
    label_of = _labels_file(Path(table).expanduser(), folder)
    return {file: label_of[file] for file in pictures if file in label_of}


def _subfolder(file: str) -> str:
    first, _, rest = file.partition("/")
    return first if rest else ""


def _labels_file(path: Path, folder: Path) -> dict[str, str]:
    """File -> label, from the CSV."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); expected a CSV in UTF-8") from error
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise UserError(f"{path} has no columns file and label, or no rows; add them")
    named = {str(row["file"]): str(row["label"]) for row in rows}
    absent = [file for file in named if not (folder / file).is_file()]
    if absent:
        raise UserError(f"{path} names {absent[0]!r}, which is not in {folder}; mend the CSV")
    return named


def tell(folder: Path, bad: list[tuple[str, str]], skip: bool) -> None:
    """Print the files that cannot be read.

    Raises:
        UserError: If there are any and ``skip`` is false.
    """
    listed = [f"{sources.safe_name(name)} ({why})" for name, why in bad[:SHOWN]]
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if bad and not skip:
        raise UserError(
            f"{folder}: {len(bad)} files cannot be read: {'; '.join(listed)}{more}: mend or remove "
            "them, or leave them out with data.skip_bad: true (--skip-bad of new-experiment)"
        )
    for line in listed:
        print(f"left out: {line}")
