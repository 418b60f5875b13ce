"""Read many pictures alike, and tell what was done to them.

Every door to the user's own pictures reads them by ``read_all``: the rule ``read_images`` and
``./run attribute``. So a query is prepared as its training images are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dasbench.data import decode
from dasbench.errors import UserError

SHOWN = 20  # bad files that a message names
NAMED = 3  # files that a note names


class Read(NamedTuple):
    """Pictures that could be read.

    Attributes:
        images: [n, H, W, C] uint8; n = 0 has no such shape.
        good: Positions of these pictures among the paths.
        bad: Name and reason of each picture that could not be read.
        notes: Sentences about what was done to the pictures.
        identical: Groups of names with equal pixels.
    """

    images: np.ndarray
    good: list[int]
    bad: list[tuple[str, str]]
    notes: list[str]
    identical: list[list[str]]


def read_all(paths: Mapping[str, Path], options: Mapping[str, Any], whole: bool = True) -> Read:
    """Read pictures.

    Args:
        paths: Name to show -> file.
        whole: Whether these are all pictures for which ``range`` is meant. If some of them cannot
            be read, the range may be meant for these.
        options: ``size``, ``resize``, ``background``, ``channels``, ``range`` of a ``data``
            section.

    Raises:
        UserError: If pictures of 16 bits seem to hold fewer, or ``range`` is given and no picture
            has more than 8 bits.
    """
    span = options.get("range")
    images, good, bad, seen = [], [], [], {}
    for i, (name, path) in enumerate(paths.items()):
        try:
            image, seen[name] = decode.look(
                path,
                options["size"],
                options["resize"],
                options["background"],
                options["channels"],
                span=span,
            )
        except decode.UnreadableError as error:
            bad.append((name, str(error)))
        else:
            images.append(image)
            good.append(i)
    names = list(paths)
    check_depth(seen, span, whole and not bad)
    alike = identical(zip((names[i] for i in good), images, strict=True))
    one_shape = len({image.shape for image in images}) == 1
    stacked = np.stack(images) if one_shape else np.asarray(images, object)
    notes = [*_notes(seen), *twins(alike)]
    if span is not None and seen and not any(each.deep for each in seen.values()):
        notes.append(f"the range {list(span)} changes nothing here: these pictures have 8 bits")
    return Read(stacked, good, bad, notes, alike)


def check_depth(
    seen: Mapping[str, decode.Seen], span: Sequence[float] | None, whole: bool = True
) -> None:
    """Refuse 16 bits that look like fewer, for all pictures together, and a range without use.

    Args:
        seen: Name -> what was seen of the picture.
        span: ``data.range``.
        whole: See ``read_all``.

    Raises:
        UserError: In these cases.
    """
    peaks = {name: each.peak for name, each in seen.items() if each.peak is not None}
    if 0 < max(peaks.values(), default=0) <= decode.DARK:
        name = max(peaks, key=peaks.__getitem__)
        raise UserError(
            f"{listed(list(peaks))}: 16 bits, of which the largest number anywhere is "
            f"{peaks[name]} (in {shown(name)}), so they would be nearly black; say what is black "
            f"and white by data.range (--range): [0, 65535] if they are as dark as that, [0, 4095] "
            "if they hold 12 bits"
        )
    if whole and span is not None and seen and not any(each.deep for each in seen.values()):
        raise UserError(
            f"data.range is {list(span)}, but all pictures have 8 bits, whose black is 0 and white "
            "is 255; leave it out"
        )


def _notes(seen: Mapping[str, decode.Seen]) -> list[str]:
    def of(which: Iterable[str]) -> str:
        names = list(which)
        return f"{len(names)} of {len(seen)} pictures" if len(seen) > 1 else shown(names[0])

    notes = []
    if moving := [name for name, each in seen.items() if each.frames > 1]:
        most = max(seen[name].frames for name in moving)
        notes.append(
            f"{of(moving)} {_has(moving)} several frames or pages ({most} at most): the first is "
            f"used ({listed(moving)})"
        )
    if cut := [name for name, each in seen.items() if each.cut]:
        notes.append(
            f"{of(cut)} {_is(cut)} not square and cropped to the centre ({listed(cut)}); pad or "
            "stretch keeps everything (data.resize, --resize)"
        )
    if clipped := [name for name, each in seen.items() if each.clipped]:
        notes.append(
            f"{of(clipped)} {_has(clipped)} numbers outside of data.range, which become black or "
            f"white ({listed(clipped)})"
        )
    return notes


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def identical(images: Iterable[tuple[str, np.ndarray]]) -> list[list[str]]:
    """Groups of two or more names whose arrays are equal, in the order of the names."""
    return groups(
        (name, f"{image.shape} {hashlib.sha256(image.tobytes()).hexdigest()}")
        for name, image in images
    )


def groups(digests: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of two or more names with equal digests, in the order of the names."""
    by_digest: dict[str, list[str]] = {}
    for name, digest in digests:
        by_digest.setdefault(digest, []).append(name)
    return [names for names in by_digest.values() if len(names) > 1]


def twins(alike: Sequence[Sequence[str]]) -> list[str]:
    """A note about groups of identical pictures, if there are any."""
    if not alike:
        return []
    pairs = "; ".join(" = ".join(map(shown, names[: NAMED + 1])) for names in alike[:NAMED])
    more = "; …" if len(alike) > NAMED else ""
    return [
        f"{sum(map(len, alike))} pictures are identical to another one, in {len(alike)} groups "
        f"({pairs}{more}): they share what they stand behind"
    ]


def shown(name: str) -> str:
    """A file's name, safe to print: what cannot be printed is escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in name
    )


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """Names for a sentence: the first ones, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def refuse(place: object, bad: Sequence[tuple[str, str]], skip: bool) -> None:
    """Print the pictures that cannot be read.

    Raises:
        UserError: If there are any and ``skip`` is false.
    """
    lines = [f"{shown(name)} ({why})" for name, why in bad[:SHOWN]]
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if bad and not skip:
        raise UserError(
            f"{place}: {len(bad)} files cannot be read: {'; '.join(lines)}{more}: mend or remove "
            "them, or leave them out with data.skip_bad: true (--skip-bad of new-experiment)"
        )
    for line in lines:
        print(f"left out: {line}")
    if bad[SHOWN:]:
        print(f"left out:{more}")
