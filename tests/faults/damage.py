"""Ways to damage an artifact, by the type of its file; each writes another file in its place."""

import io
import json
import os
import pickle
import re

import numpy as np
import pandas as pd
from safetensors.numpy import load, save

MARKER = "unpickled"


class Trap:
    """Unpickling this makes the folder MARKER where one is."""

    def __reduce__(self):
        return os.mkdir, (MARKER,)


def _trap(array):
    return np.array([Trap()], object)


def _read_array(content):
    return {"": np.load(io.BytesIO(content))}


def _write_array(members):
    buffer = io.BytesIO()
    np.save(buffer, members[""])
    return buffer.getvalue()


def _read_examples(content):
    return dict(np.load(io.BytesIO(content)))


def _write_examples(members):
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def _write_weights(members):
    return save(members, {"format": "pt"})


def _arrays(read, write, change):
    """Change one of a file's arrays; None where the change applies to none of them."""

    def damage(content, rng, twin):
        members = read(content)
        changed = {name: change(array) for name, array in sorted(members.items())}
        names = [name for name, array in changed.items() if array is not None]
        if not names:
            return None
        name = rng.choice(names)
        return write(members | {name: changed[name].copy(order="C")})

    return damage


def _table(read, write, change):
    def damage(content, rng, twin):
        buffer, table = io.BytesIO(), change(read(io.BytesIO(content)), rng)
        if table is None:
            return None
        write(table, buffer)
        return buffer.getvalue()

    return damage


def _nan(array):
    if array.dtype.kind != "f" or not array.size:
        return None
    array = array.copy()
    array.flat[array.size // 2] = np.nan
    return array


def _shorter(array):
    return array[:-1] if array.size and array.ndim else None


def _coarse(array):
    return None if array.dtype == np.int16 else array.astype(np.int16)


def _column(table, rng):
    numbers = sorted(table.select_dtypes("number").columns) if len(table) else []
    return rng.choice(numbers) if numbers else None


def _nan_cell(table, rng):
    if not (name := _column(table, rng)):
        return None
    table = table.astype({name: float})
    table.loc[table.index[-1], name] = np.nan
    return table


def _no_column(table, rng):
    return table.drop(columns=rng.choice(list(table.columns)))


def _text_column(table, rng):
    name = _column(table, rng)
    return table.assign(**{name: "many"}) if name else None


def _other_json(content, rng, twin):
    return json.dumps([json.loads(content)]).encode()


def truncated(content, rng, twin):
    return content[: rng.randrange(len(content))]


def flipped(content, rng, twin):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def swapped(content, rng, twin):
    return twin


def pickled(content, rng, twin):
    return pickle.dumps(Trap())


_CHANGES = {
    "NaN": (_nan, _nan_cell),
    "wrong shape": (_shorter, _no_column),
    "wrong dtype": (_coarse, _text_column),
}
_ARRAYS = {
    ".npy": (_read_array, _write_array),
    ".npz": (_read_examples, _write_examples),
    ".safetensors": (load, _write_weights),
}
_TABLES = {
    ".csv": (pd.read_csv, lambda table, file: table.to_csv(file, index=False)),
    ".parquet": (pd.read_parquet, lambda table, file: table.to_parquet(file, index=False)),
}

ANY = {"truncated": truncated, "bit flipped": flipped, "another experiment's": swapped}
BY_SUFFIX = {
    suffix: {way: _arrays(*form, change) for way, (change, _) in _CHANGES.items()}
    for suffix, form in _ARRAYS.items()
}
BY_SUFFIX |= {
    suffix: {way: _table(*form, change) for way, (_, change) in _CHANGES.items()}
    for suffix, form in _TABLES.items()
}
BY_SUFFIX[".json"] = {"wrong dtype": _other_json}
BY_SUFFIX[".npy"]["pickled"] = _arrays(*_ARRAYS[".npy"], _trap)
BY_SUFFIX[".npz"]["pickled"] = _arrays(*_ARRAYS[".npz"], _trap)
BY_SUFFIX[".safetensors"]["pickled"] = pickled


def damages(path):
    """All ways to damage a file: name -> function of content, random numbers and twin's content."""
    return ANY | BY_SUFFIX.get(path.suffix, {})


def attempt(function, content, rng, twin):
    """The damaged content; None where the way does not apply, such as a NaN among integers."""
    made = function(content, rng, twin)
    return None if made == content else made


def kind(path):
    """What is the same type of artifact: numbers and methods' names left out."""
    parts = path.split("/")[2:] if path.startswith("results/") else path.split("/")
    folder = re.sub(r"[-\d].*", "", parts[0])
    return (folder, re.sub(r"(val|gen|train|loss|displacement)(?=[-.])", "*", parts[-1]))
