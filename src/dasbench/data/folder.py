"""The user's own pictures: a folder with files of any size and mode.

The name of a label is a subfolder of the first level, or comes from a CSV with the columns ``file``
(relative to the folder) and ``label``, see ``dasbench.data.labels``. Labels number these names in
the order of their numbers, if all of them are numbers, or else of the alphabet. Files that cannot
be read are listed; they are an error unless ``skip_bad: true`` leaves them out. What is no picture
is counted and named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dasbench.data import decode, pictures
from dasbench.data import files as sources
from dasbench.data import labels as tables
from dasbench.errors import UserError


class Listing(NamedTuple):
    """The pictures of a folder.

    Attributes:
        label_of: Path relative to the folder -> name of its label, in the order of the paths.
        bad: Path and reason of files that cannot be pictures here though they should be.
        notes: Sentences about what is left out.
    """

    label_of: dict[str, str]
    bad: list[tuple[str, str]]
    notes: list[str]


def read(options: Mapping[str, Any]) -> sources.Source:
    """Read and scale the pictures.

    Args:
        options: The ``data`` section: ``path``, ``labels``, ``size``, ``resize``, ``background``,
            ``channels``, ``range``, ``skip_bad``, ``classes``, ``limit``, ``held_out``.

    Returns:
        Images [n, size, size, channels] in the order of their paths; those of ``path`` in the
        training part, those of ``held_out`` in the other.

    Raises:
        UserError: If a folder is absent or empty, a size is missing, a file is no picture and
            ``skip_bad`` is not set, or the CSV does not fit.
    """
    if options["size"] is None:
        raise UserError("data.size is missing; expected the side in pixels that pictures get")
    folders = [_folder(options)]
    listings = [listing(folders[0], options["labels"])]
    notes = []
    if options.get("held_out"):
        folders.append(opened(Path(options["held_out"]).expanduser(), "data.held_out"))
        listings.append(listing(folders[1]))
        notes += compare(folders, listings)
    names = numbered(*(set(each.label_of.values()) for each in listings))
    files, labels, parts = {}, [], []
    for part, (folder, each) in enumerate(zip(folders, listings, strict=True)):
        for file, name in each.label_of.items():
            shown = file if part == sources.TRAIN else f"{folder.name}/{file}"
            while shown in files:  # a class may have the name of the other folder
                shown = f"held-out {shown}"
            files[shown] = folder / file
            labels.append(names.index(name))
            parts.append(part)
    labels, parts = np.asarray(labels, np.int64), np.asarray(parts, np.uint8)
    kept = sources.chosen(labels, parts, options)
    listed = list(files.items())
    found = pictures.read_all(dict(listed[i] for i in kept), options)
    good = kept[found.good]
    bad = [*(line for each in listings for line in each.bad), *found.bad]
    pictures.refuse(folders[0], bad, options["skip_bad"])
    if not len(found.images):
        raise UserError(
            f"{folders[0]} holds no picture that can be read; expected PNG, JPEG or the like"
        )
    notes = [*(note for each in listings for note in each.notes), *notes, *found.notes]
    for note in notes:
        print(f"note: {note}")
    facts = {
        "left_out": [sources.safe_name(name) for name, _ in bad],
        "identical": [[sources.safe_name(name) for name in group] for group in found.identical],
        "notes": [sources.safe_name(note, 400) for note in notes],
    }
    return sources.Source(
        found.images,
        labels[good],
        parts[good],
        {i: sources.safe_name(name) for i, name in enumerate(names)},
        {key: value for key, value in facts.items() if value},
    )


def _folder(options: Mapping[str, Any]) -> Path:
    if not options["path"]:
        raise UserError("data.path is missing; expected the folder with the pictures")
    folder = Path(options["path"]).expanduser()
    if not folder.exists():
        about = options["about"]
        how = (
            f": fetch {about['fetch']} ({about['size']}; licence: {about['licence']})"
            if about.get("fetch")
            else ""
        )
        raise UserError(f"{folder} is not here{how}; or name another folder in data.path")
    return opened(folder, "data.path")


def opened(folder: Path, what: str) -> Path:
    """The folder, if it is one.

    Args:
        folder: The path.
        what: What names it, for the message.

    Raises:
        UserError: If it is no folder.
    """
    if folder.is_dir():
        return folder
    if not folder.exists():
        raise UserError(f"{what}: {folder} is missing or is no folder; expected one with pictures")
    how = "unpack it first" if folder.suffix.lower() in _ARCHIVES else "name the folder it lies in"
    raise UserError(f"{what}: {folder} is no folder but a file; {how}")


_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"})


class _Found(NamedTuple):
    """What lies below a folder; paths are relative to it."""

    pictures: list[str]
    bad: list[tuple[str, str]]
    others: list[str]
    hidden: list[str]
    loops: list[str]
    empty: list[str]


def _search(folder: Path) -> _Found:
    """Look through a folder, and through the folders that it links to; no folder holds itself."""
    found = _Found([], [], [], [], [], [])

    def visit(place: Path, inside: str, holders: tuple[tuple[int, int], ...]) -> int:
        """Look at one folder; how many pictures it holds."""
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"{place} cannot be opened ({error.strerror}); mend its rights"
            ) from error
        before = len(found.pictures) + len(found.bad)
        for entry in entries:
            name = inside + entry.name
            if entry.name.startswith("."):
                found.hidden.append(name)
            elif os.path.isdir(entry.path):
                stat = os.stat(entry.path)
                if (key := (stat.st_dev, stat.st_ino)) in holders:
                    found.loops.append(name)
                elif not visit(Path(entry.path), f"{name}/", (*holders, key)):
                    found.empty.append(name)
            else:
                _sort(Path(entry.path), name, found)
        return len(found.pictures) + len(found.bad) - before

    stat = os.stat(folder)
    visit(folder, "", ((stat.st_dev, stat.st_ino),))
    return found


def _sort(path: Path, name: str, found: _Found) -> None:
    suffix = path.suffix.lower()
    if suffix in decode.SUFFIXES:
        found.pictures.append(name)
    elif suffix in decode.FOREIGN:
        found.bad.append((name, f"{suffix} is not read here; convert it to PNG"))
    elif path.is_symlink() and not path.exists():
        found.bad.append((name, "a broken link"))
    elif path.is_file() and decode.is_picture(path):
        found.pictures.append(name)
    else:
        found.others.append(name)


def listing(folder: Path, table: str | Path | None = None) -> Listing:
    """The pictures of a folder, their labels, and what is left out.

    Args:
        folder: Folder of the pictures.
        table: CSV with the columns ``file`` and ``label``; pictures that it does not list are left
            out. With None, every picture has its subfolder of the first level as label.

    Raises:
        UserError: If a folder cannot be opened, or the CSV does not fit.
    """
    found = _search(folder)
    if table:
        path = Path(table).expanduser()
        label_of = tables.read(path, folder)
        rest = [name for name in sorted(found.pictures) if name not in label_of]
        notes = (
            [f"left out, for {path} does not list them: {_counted(rest, 'pictures')}"]
            if rest
            else []
        )
        bad = [(name, why) for name, why in found.bad if name in label_of]
        label_of = {name: label_of[name] for name in sorted(label_of)}
        return Listing({n: v for n, v in label_of.items() if n not in dict(bad)}, bad, notes)
    label_of = {name: _subfolder(name) for name in sorted(found.pictures)}
    return Listing(label_of, found.bad, _notes(found, label_of))


def _notes(found: _Found, label_of: Mapping[str, str]) -> list[str]:
    notes = []
    for names, what in (
        (found.others, "files that are no pictures"),
        (found.hidden, "hidden files or folders"),
        (found.loops, "links to a folder that holds them"),
    ):
        if names:
            notes.append(f"left out: {_counted(names, what)}")
    # a folder inside an empty one is not named again
    if empty := [name for name in found.empty if "/" not in name]:
        notes.append(f"no label: {_counted(empty, 'subfolders without pictures')}")
    beside = [name for name, label in label_of.items() if not label]
    if beside and len(beside) < len(label_of):
        notes.append(
            f"{_counted(beside, 'pictures')} beside the subfolders: they are a label of their own, "
            "without a name"
        )
    return notes


def _counted(names: Sequence[str], what: str) -> str:
    """Such as ``3 pictures (a.png, b.png, c.png)``, for one file in the plural, too."""
    return f"{len(names)} {what} ({pictures.listed(names)})"


def _subfolder(file: str) -> str:
    first, _, rest = file.partition("/")
    return tables.text(first) if rest else ""


def compare(folders: Sequence[Path], listings: Sequence[Listing]) -> list[str]:
    """Notes about labels that held-out pictures alone have.

    Args:
        folders: Of the training pictures and of the held-out ones.
        listings: Their pictures.

    Raises:
        UserError: If a picture is in both.
    """
    training = {os.path.realpath(folders[0] / file) for file in listings[0].label_of}
    held_out = listings[1].label_of
    both = [file for file in held_out if os.path.realpath(folders[1] / file) in training]
    if both:
        raise UserError(
            f"{len(both)} of the {len(held_out)} held-out pictures in {folders[1]} are training "
            f"pictures, too ({pictures.listed(both)}), expected none; move one of the two folders "
            "out of the other, or list the training pictures in a CSV (data.labels, --labels)"
        )
    if copies := _copies(folders, listings):
        raise UserError(
            f"{len(copies)} of the {len(held_out)} held-out pictures in {folders[1]} are copies of "
            f"training pictures ({pictures.listed(copies)}), expected none: the model has seen "
            "them; remove them"
        )
    labels = set(listings[0].label_of.values())
    strange = [file for file, label in held_out.items() if label not in labels]
    if not strange:
        return []
    return [
        f"{_counted(strange, 'held-out pictures')} have a label that no training picture has, or "
        "none; the names of their subfolders are their labels"
    ]


def _copies(folders: Sequence[Path], listings: Sequence[Listing]) -> list[str]:
    """Held-out files with the bytes of a training file, each with the name of that file."""

    def by_size(folder: Path, listing: Listing) -> dict[int, list[str]]:
        sizes: dict[int, list[str]] = {}
        for file in listing.label_of:
            sizes.setdefault((folder / file).stat().st_size, []).append(file)
        return sizes

    training, held_out = (by_size(*pair) for pair in zip(folders, listings, strict=True))
    copies = []
    for size in training.keys() & held_out.keys():  # few files are read
        known = {(folders[0] / file).read_bytes(): file for file in training[size]}
        for file in held_out[size]:
            if other := known.get((folders[1] / file).read_bytes()):
                copies.append(f"{file} = {other}")
    return sorted(copies)


def numbered(training: Set[str], held_out: Set[str] = frozenset()) -> list[str]:
    """Names of labels in the order of the numbers that they get.

    Labels of training pictures come first: held-out pictures change no number, since the numbers
    are the classes of a model.

    Raises:
        UserError: See ``ordered``.
    """
    ordered(training | held_out)  # one spelling in both folders
    return [*ordered(training), *ordered(held_out - training)]


def ordered(names: Set[str]) -> list[str]:
    """Names of labels in the order of their numbers, see the module's docstring.

    Raises:
        UserError: If two names are the same number, such as 1 and 01.
    """
    numbers = {name: tables.number(name) for name in names if name}
    if None in numbers.values():
        return sorted(names)
    by_number: dict[Decimal, str] = {}
    for name in sorted(numbers):
        other = by_number.setdefault(numbers[name], name)
        if other != name:
            raise UserError(
                f"the labels {other!r} and {name!r} are the same number; expected one spelling"
            )
    return [""] * ("" in names) + sorted(numbers, key=lambda name: numbers[name])
