"""What each method is: texts of ``methods.yaml`` for the report and for docs/methods.md.

The report shows a definition when the pointer rests on a method's name, and lists all of them at
its end. The same texts make the table of docs/methods.md, so the two agree.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markupsafe import Markup, escape

FILE = Path(__file__).parent / "methods.yaml"
# the number of a paper on arXiv, or a repository
_LINKED = re.compile(r"\b(?:(?P<paper>\d{4}\.\d{5})|(?P<code>github\.com/[\w.-]+/[\w.-]+))\b")
_NAME = re.compile(r"`([^`]+)`")


class Definition(NamedTuple):
    """What a method is.

    Attributes:
        names: Methods that share the text.
        title: The method in a few words.
        score: The score of training image i for query q, in words or as a formula.
        source: Where it comes from: numbers of papers on arXiv, or words.
    """

    names: tuple[str, ...]
    title: str
    score: str
    source: str


@functools.cache
def load() -> tuple[Definition, ...]:
    """All definitions, in the order of the file."""
    entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(Definition(tuple(entry.pop("names")), **entry) for entry in entries)


def of(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, Definition]:
    """The definition of each method of an experiment.

    Args:
        methods: Name -> options. A method with the option ``like`` has the definition of the
            method that it varies, followed by what the experiment file changes.

    Returns:
        Name -> definition; a method without a definition is left out.
    """
    known = {name: entry for entry in load() for name in entry.names}
    found = {}
    for name, options in methods.items():
        entry = known.get(name) or known.get(options.get("like", ""))
        if entry is None:
            continue
        if name not in known:
            changed = ", ".join(
                f"{key} {_plain(value)}" for key, value in options.items() if key != "like"
            )
            score = f"as `{options['like']}`" + (f", with {changed}" if changed else "")
            entry = entry._replace(names=(name,), score=f"{score}: {entry.score}")
        found[name] = entry
    return found


def _plain(value: Any) -> str:
    """The value of an option in words; ``pages.plain`` would be a circular import."""
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items()) + ")"
    return str(value)


def plain(text: str) -> str:
    """A text without its marks, for a hover text."""
    return _NAME.sub(r"\1", text)


def linked(text: str) -> Markup:
    """A text as HTML: names in a fixed-width font, papers as links."""
    marked = _NAME.sub(r'<span class="name">\1</span>', str(escape(text)))
    return Markup(_LINKED.sub(_link, marked))


def _link(match: re.Match[str]) -> str:
    return f'<a href="{_address(match)}">{match[0]}</a>'


def _address(match: re.Match[str]) -> str:
    return f"https://arxiv.org/abs/{match['paper']}" if match["paper"] else f"https://{match[0]}"


def table(entries: Iterable[Definition]) -> str:
    """The Markdown table of docs/methods.md."""
    lines = ["| name | score of training image i for query q | source |", "|---|---|---|"]
    for entry in entries:
        names = ", ".join(f"`{name}`" for name in entry.names)
        source = _LINKED.sub(lambda match: f"[{match[0]}]({_address(match)})", entry.source)
        lines.append(f"| {names} | {entry.score} | {source} |")
    return "\n".join(lines)
