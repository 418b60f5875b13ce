"""Strict YAML, defaults from a JSON schema, and schema errors as sentences.

This module does not depend on what experiments are. A *problem* is a pair (path, sentence). The
path is the tuple of keys and indices that leads to a value. The sentence names the value, the
expected value and, where possible, the remedy.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dasbench.errors import UserError

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str]

DEPTH = 20  # levels; an experiment has four
_LITERAL = re.compile(r"\^(\w+)\$")
# octal numbers such as 010, and numbers to the base 60 such as 1:30
_ODD_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[\d_]+(:\d+)+)")
_KINDS = {"boolean": "true or false", "object": "a mapping", "null": "null"}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """A safe loader that also reads ``1e-4`` as a number, as YAML 1.2 and DVC do."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path, shown: str) -> Any:
    """Read one YAML document, and refuse YAML whose meaning differs from its look.

    Args:
        path: File to read.
        shown: Name of the file in messages.

    Raises:
        UserError: If the file cannot be read, is not YAML, is nested too deeply, repeats a key, or
            uses an alias or a merge key. Also if it holds anything but mappings with text keys,
            lists, texts, finite numbers, true, false and null.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _check_depth(text, shown)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            _check_nodes(node, shown)
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except UserError:
        raise
    except yaml.YAMLError as error:
        raise UserError(f"{shown}: not valid YAML: {_one_line(error)}") from error
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"{shown}: cannot be read: {_one_line(error)}") from error
    _check_plain(data, (), shown)
    return data


def _check_depth(text: str, shown: str) -> None:
    """Refuse deep nesting, which would exceed the recursion limit of the parser."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise UserError(f"{shown}: nested too deeply, more than {DEPTH} levels")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).replace(' in "<unicode string>",', " at").split())


def _check_nodes(root: yaml.Node | None, shown: str) -> None:
    """Refuse aliases, merge keys and repeated keys, which the constructed data do not show."""
    seen: set[int] = set()
    stack: list[yaml.Node] = [] if root is None else [root]
    while stack:
        node = stack.pop()
        line = node.start_mark.line + 1
        if id(node) in seen:
            raise UserError(
                f"{shown}: line {line}: aliases (*name) are not supported; write it out"
            )
        seen.add(id(node))
        if node.tag == "tag:yaml.org,2002:int" and _ODD_NUMBER.fullmatch(node.value):
            raise UserError(
                f"{shown}: line {line}: {node.value} is read by YAML as {_as_yaml(node)}; write "
                "a plain number, or put it in quotes"
            )
        if isinstance(node, yaml.SequenceNode):
            stack += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value]
            _check_keys(keys, shown)
            stack += [child for pair in node.value for child in pair]


def _as_yaml(node: yaml.ScalarNode) -> int:
    return yaml.SafeLoader("").construct_yaml_int(node)


def _check_keys(keys: Sequence[yaml.Node], shown: str) -> None:
    names: set[str] = set()
    for key in keys:
        line = key.start_mark.line + 1
        if key.tag == "tag:yaml.org,2002:merge":
            raise UserError(
                f"{shown}: line {line}: merge keys (<<) are not supported; write it out"
            )
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{shown}: line {line}: a key must be a text")
        if key.value in names:
            raise UserError(f"{shown}: line {line}: {key.value} is given twice; keep one of them")
        names.add(key.value)


def _check_plain(data: Any, path: KeyPath, shown: str) -> None:
    """Refuse dates, binary, sets, NaN, keys that are not texts, and texts of several lines."""
    where = dotted(path) or "the file"
    if isinstance(data, dict):
        for key, value in data.items():
            if not isinstance(key, str):
                raise UserError(f"{shown}: {where}: key {key!r} is not a text; put it in quotes")
            _check_line(key, f"{shown}: {where}: key")
            _check_plain(value, (*path, key), shown)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _check_plain(value, (*path, index), shown)
    elif isinstance(data, float) and not math.isfinite(data):
        raise UserError(f"{shown}: {where} is {data}, expected a finite number")
    elif isinstance(data, str):
        _check_line(data, f"{shown}: {where} is")
    elif data is not None and not isinstance(data, int | float):
        kind = type(data).__name__
        raise UserError(f"{shown}: {where} is read by YAML as a {kind}; put it in quotes")


def _check_line(text: str, start: str) -> None:
    """Refuse control characters: ``$`` in a schema's pattern accepts a final line break."""
    if not text.isprintable():
        raise UserError(
            f"{start} {shorten(text)}, expected a text on one line without control characters"
        )


def read_schema(path: Path) -> dict[str, Any]:
    """Read a schema file of the repository."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)


def dotted(path: Sequence[str | int]) -> str:
    """``("removal", "k", 0)`` as ``removal.k[0]``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _key(key: str) -> str:
    """The key itself, or the key quoted and shortened if it would break a sentence."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else shorten(key)


def suggestion(word: str, known: Iterable[str]) -> str:
    """``"; did you mean epochs?"``, or an empty text if no known word is close."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def fill_defaults(data: Any, schema: Mapping[str, Any]) -> Any:
    """Copy ``data`` and add the schema's defaults for absent keys."""
    if not isinstance(data, dict) or "properties" not in schema:
        return copy.deepcopy(data)
    filled = dict(data)
    for key, part in schema["properties"].items():
        if key not in filled and "default" in part:
            filled[key] = copy.deepcopy(part["default"])
        if key in filled:
            filled[key] = fill_defaults(filled[key], part)
    return filled


def settle_numbers(data: Any, schema: Mapping[str, Any]) -> Any:
    """Convert every number to the schema's type, so that ``60`` and ``60.0`` are equal settings."""
    kinds = _types(schema)
    if isinstance(data, dict):
        return {key: settle_numbers(value, _subschema(schema, key)) for key, value in data.items()}
    if isinstance(data, list):
        return [settle_numbers(value, schema.get("items", {})) for value in data]
    if isinstance(data, bool) or not isinstance(data, int | float):
        return data
    if "number" in kinds:
        return float(data)
    return int(data) if "integer" in kinds else data


def _subschema(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    patterns = schema.get("patternProperties", {})
    return schema.get("properties", {}).get(key, next(iter(patterns.values()), {}))


def _types(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def schema_problems(data: Any, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every violation of the schema as a problem."""
    from jsonschema import Draft202012Validator  # takes 60 ms; most callers validate nothing

    for error in Draft202012Validator(schema).iter_errors(data):
        path, part = tuple(error.absolute_path), error.schema
        if error.validator == "additionalProperties":
            yield from _unknown_keys(path, error.instance, part)
        elif error.validator == "required":
            for key in part["required"]:
                if key not in error.instance:
                    expected = expectation(part["properties"][key])
                    yield (*path, key), f"is missing; expected {expected}"
        else:
            yield path, f"is {shorten(error.instance)}, expected {expectation(part)}"


def _unknown_keys(path: KeyPath, instance: Mapping, schema: Mapping) -> Iterator[Problem]:
    known = list(schema.get("properties", {}))
    patterns = list(schema.get("patternProperties", {}))
    for key in instance:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        if patterns:
            yield (*path, key), f"is not a usable name; expected a text that matches {patterns[0]}"
        else:
            hint = suggestion(key, known)
            yield (*path, key), f"is not a known key; allowed: {', '.join(known)}{hint}"


def expectation(schema: Mapping[str, Any]) -> str:
    """Describe the values that a schema allows: type, range or words, and its description."""
    kinds = " or ".join(_kind(kind, schema) for kind in _types(schema))
    about = schema.get("description")
    return f"{kinds} ({about})" if about else kinds


def _kind(kind: str, schema: Mapping[str, Any]) -> str:
    if kind in {"integer", "number"}:
        return f"{'an integer' if kind == 'integer' else 'a number'}{_range(schema)}"
    if kind == "array":
        return f"a list{_length(schema)}"
    if kind == "string":
        literal = _LITERAL.fullmatch(schema.get("pattern", ""))
        if "enum" in schema:
            return f"one of {', '.join(value for value in schema['enum'] if value is not None)}"
        if literal:
            return literal[1]
        return f"a text that matches {schema['pattern']}" if "pattern" in schema else "a text"
    return _KINDS[kind]


def _range(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    limits = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    return " " + " and ".join(limits) if limits else ""


def _length(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and least == most:
        text = f" of {least}"
    else:
        words = {"at least": least, "at most": most}
        limits = [f"{word} {count}" for word, count in words.items() if count is not None]
        text = f" of {' and '.join(limits)}" if limits else ""
    return text + (" without repetitions" if schema.get("uniqueItems") else "")


def on_one_line(text: str) -> str:
    """Escape line breaks and invisible characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten(value: Any, limit: int = 60) -> str:
    """A value in JSON, on one line, cut after ``limit`` characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = on_one_line(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
