"""Miniatures of experiments: they run the same code as a large experiment, in a minute.

A *miniature* is an experiment with ``debug_of: cifar2``. It takes every setting from ``cifar2``
except those in its own file: smaller numbers, shorter lists and fewer methods. A miniature must not
run other code. So a different text (a class, a block type), switch, null or type of value is an
error, and so is a number that grows or becomes zero.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from dasbench.core.yaml_schema import KeyPath, Problem

# keys that a miniature has although the large experiment may not
OWN = frozenset({"title", "debug_of"})
# lists in which fewer entries mean fewer jobs of the same kinds
SHORTER = frozenset(
    {("removal", "k"), ("removal", "methods"), ("removal", "bottom"), ("comparisons",)}
)
# models that one job trains: a larger number means fewer jobs for the same models, so it may grow;
# config/README.md has the reason
PACKING = ("subsets", "models_per_job")
# numbers that are names of a class, an architecture or a draw: they must stay equal
NAMES = frozenset(
    {("data", "classes"), ("seed",), ("model", "downsample_padding"), ("model", "freq_shift")}
)
# a miniature may leave out whole methods; the others keep their options
FEWER = "methods"
# keys that the loader derives, and ``OWN``
DERIVED = frozenset(
    {"name", "parent", "seed_name", "base_home", "full_models", "debug_of", "title"}
)


def merge(whole: Mapping[str, Any], small: Mapping[str, Any]) -> dict[str, Any]:
    """The large experiment with the values of the miniature's file.

    Args:
        whole: The large experiment, complete.
        small: Content of the miniature's file.
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
    """Yield every difference between a miniature and its large experiment that is not allowed.

    Args:
        whole: The large experiment, complete.
        complete: The miniature, complete.
        small: Content of the miniature's file.
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
    """A list may have fewer entries; its numbers may be smaller, its texts must be in ``large``."""
    if len(small) > len(large) or bool(small) != bool(large):
        yield path, f"has {len(small)} entries, expected 1 to {len(large)}"
    for index, value in enumerate(small):
        fits = value <= max(large, default=0) if _number(value) else value in large
        if not fits:
            yield (*path, index), f"is {value}, which is not in the large experiment's list {large}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
