"""Experiments in miniature: the same code paths as a large one, in a minute.

``debug_of: cifar2`` takes over everything of ``cifar2``; the file itself gives smaller numbers.
What it may not do is take another path: a text (a class, a block type), a switch, a null or a
kind of value that differs is refused, and so is a number that grows or that becomes zero. It may
have fewer methods.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.core.yaml_schema import KeyPath, Problem

# what says that a file is a miniature, and what it is called; a title is no setting
OWN = frozenset({"title", "debug_of"})
# where fewer entries ask for fewer jobs of the same kinds
SHORTER = frozenset({("removal", "k"), ("removal", "methods"), ("comparisons",)})
# how many models one process trains: it makes fewer jobs of the same models, so it may grow;
# config/README.md says why
PACKING = ("subsets", "models_per_job")
# numbers that name something: another one is another class, another architecture, other draws
NAMES = frozenset(
    {("data", "classes"), ("seed",), ("model", "downsample_padding"), ("model", "freq_shift")}
)
# methods are left out whole; those that stay are as they are
FEWER = "methods"
# derived by the loader
DERIVED = frozenset({"name", "parent", "seed_name", "base_home", "debug_of", "title"})


def merge(whole: Mapping[str, Any], small: Mapping[str, Any]) -> dict[str, Any]:
    """The large experiment with the small one's values in place of its own.

    Args:
        whole: The large experiment, complete.
        small: What the small one's file says.
    """
    merged = {key: copy.deepcopy(v) for key, v in whole.items() if key not in DERIVED}
    return _over(merged, small)


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict) and key != FEWER
        below[key] = _over(below[key], value) if both else copy.deepcopy(value)
    return below


def problems(
    whole: Mapping[str, Any], complete: Mapping[str, Any], small: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield every way in which a miniature is something else than a smaller version.

    Args:
        whole: The large experiment, complete.
        complete: The miniature, complete.
        small: What its file says.
    """
    for key in small:
        if key not in OWN and key not in whole:
            yield (key,), f"is not in {whole['name']}, of which this is a miniature; remove it"
    kept = {key: value for key, value in whole.items() if key not in DERIVED}
    yield from _compare((), kept, {key: complete[key] for key in kept})


def _compare(path: KeyPath, large: Any, small: Any) -> Iterator[Problem]:
    if isinstance(large, dict) and isinstance(small, dict):
        for key in sorted({*large, *small}):
            if path == (FEWER,) and key in large and key not in small:
                continue
            if key not in large or key not in small:
                yield (*path, key), "is in one of the two only; a miniature has the same keys"
            else:
                yield from _compare((*path, key), large[key], small[key])
    elif path in NAMES:
        if large != small:
            yield path, f"is {small}, expected {large}: a miniature has the same"
    elif path in SHORTER:
        yield from _shorter(path, large, small)
    elif isinstance(large, list) and isinstance(small, list) and len(large) == len(small):
        for index, pair in enumerate(zip(large, small, strict=True)):
            yield from _compare((*path, index), *pair)
    elif _number(large) and _number(small):
        yield from _smaller(path, large, small)
    elif type(large) is not type(small) or large != small:
        yield path, f"is {small}, expected {large}: a miniature differs in numbers alone"


def _smaller(path: KeyPath, large: float, small: float) -> Iterator[Problem]:
    if small > large and path != PACKING:
        yield path, f"is {small}, expected at most {large}: a miniature has no larger number"
    elif small <= 0 < large:
        yield path, f"is {small}, expected more than 0: that would switch it off"


def _shorter(path: KeyPath, large: list, small: list) -> Iterator[Problem]:
    """A list with fewer entries; numbers in it may be smaller, texts are those of the other."""
    if len(small) > len(large) or bool(small) != bool(large):
        yield path, f"has {len(small)} entries, expected 1 to {len(large)}"
    for index, value in enumerate(small):
        fits = value <= max(large, default=0) if _number(value) else value in large
        if not fits:
            yield (*path, index), f"is {value}, which is not in the large experiment's list {large}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
