"""Ways to damage an artifact, by the type of its file; each writes another file in its place."""

import io
import json
import re

import numpy as np
import pandas as pd
from safetensors.numpy import load, save

TEXTS = (".json", ".html", ".svg")


def _array(change):
    def damage(content, rng, twin):
        array = change(np.load(io.BytesIO(content)))
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()

    return damage


def _examples(change):
    def damage(content, rng, twin):
        arrays = dict(np.load(io.BytesIO(content)))
        arrays["images"] = change(arrays["images"])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    return damage


def _weights(change):
    def damage(content, rng, twin):
        tensors = load(content)
        name = rng.choice(sorted(tensors))
        tensors[name] = np.ascontiguousarray(change(tensors[name]))
        return save(tensors, {"format": "pt"})

    return damage


def _table(read, write, change):
    def damage(content, rng, twin):
        buffer = io.BytesIO()
        write(change(read(io.BytesIO(content)), rng), buffer)
        return buffer.getvalue()

    return damage


def _nan(array):
    if array.dtype.kind != "f":
        return None
    array = array.copy()
    array.flat[array.size // 2] = np.nan
    return array


def _column(table, rng):
    numbers = sorted(table.select_dtypes("number").columns) if len(table) else []
    return rng.choice(numbers) if numbers else None


def _nan_cell(table, rng):
    name = _column(table, rng)
    if name:
        table = table.astype({name: float})
        table.loc[table.index[-1], name] = np.nan
    return table


def _no_column(table, rng):
    return table.drop(columns=rng.choice(list(table.columns)))


def _text_column(table, rng):
    name = _column(table, rng)
    return table.assign(**{name: "many"}) if name else table


def _other_json(content, rng, twin):
    return json.dumps([json.loads(content)]).encode()


def truncated(content, rng, twin):
    return content[: rng.randrange(len(content))]


def flipped(content, rng, twin):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def swapped(content, rng, twin):
    return twin


_CHANGES = {
    "NaN": (_nan, _nan_cell),
    "wrong shape": (lambda a: a[:-1] if a.ndim else None, _no_column),
    "wrong dtype": (lambda a: a.astype(np.int16), _text_column),
}
_CSV = (pd.read_csv, lambda table, file: table.to_csv(file, index=False))
_PARQUET = (pd.read_parquet, lambda table, file: table.to_parquet(file, index=False))

ANY = {"truncated": truncated, "bit flipped": flipped, "another experiment's": swapped}
BY_SUFFIX = {
    ".npy": {name: _array(change) for name, (change, _) in _CHANGES.items()},
    ".npz": {name: _examples(change) for name, (change, _) in _CHANGES.items()},
    ".safetensors": {name: _weights(change) for name, (change, _) in _CHANGES.items()},
    ".csv": {name: _table(*_CSV, change) for name, (_, change) in _CHANGES.items()},
    ".parquet": {name: _table(*_PARQUET, change) for name, (_, change) in _CHANGES.items()},
    ".json": {"wrong dtype": _other_json},
}


def damages(path):
    """All ways to damage a file: name -> function of content, random numbers and twin's content."""
    return ANY | BY_SUFFIX.get(path.suffix, {})


def attempt(function, content, rng, twin):
    """The damaged content; None where it is no damage (a NaN among integers)."""
    try:
        made = function(content, rng, twin)
    except (AttributeError, TypeError, ValueError):
        return None  # the change gave no array
    return None if made == content else made


def kind(path):
    """What is the same type of artifact: numbers and methods' names left out."""
    parts = path.split("/")[2:] if path.startswith("results/") else path.split("/")
    folder = re.sub(r"[-\d].*", "", parts[0])
    return (folder, re.sub(r"(val|gen|train|loss|displacement)(?=[-.])", "*", parts[-1]))
