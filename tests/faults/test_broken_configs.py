"""Experiment files broken in every way that the schema knows: one sentence each, naming the key."""

import copy
import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dasbench.core import yaml_schema
from dasbench.errors import UserError
from dasbench.experiments import config
from experiment_files import load, raw

pytestmark = pytest.mark.slow

SCHEMA = yaml.safe_load(config.SCHEMA.read_text())
IN_PROCESS = (300, 2000)  # a sample, and the whole campaign
THROUGH_RUN = 20
OF_TYPE = {
    "integer": st.integers(),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text("abcdefgh-", max_size=8),
    "boolean": st.booleans(),
    "null": st.none(),
    "array": st.lists(st.integers(), max_size=3),
    "object": st.dictionaries(st.text("xyz", min_size=1, max_size=5), st.integers(), max_size=2),
}


def leaves(schema, path=()):
    """(path, schema) of every key that an experiment file may have; `das` stands for a method."""
    for key, part in schema.get("properties", {}).items():
        yield (*path, key), part
        yield from leaves(part, (*path, key))
    if "patternProperties" in schema:
        (part,) = schema["patternProperties"].values()
        yield (*path, "das"), part
        yield from leaves(part, (*path, "das"))
    if "items" in schema:
        yield (*path, 0), schema["items"]


LEAVES = sorted(leaves(SCHEMA), key=lambda leaf: str(leaf[0]))


@st.composite
def breakages(draw):
    """A path and what to put there: another type, a value out of range; or an unknown key."""
    path, part = draw(st.sampled_from(LEAVES))
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    ways = ["type", *(["range"] if _out_of_range(part) else [])]
    ways += ["unknown"] if isinstance(path[-1], str) else []
    way = draw(st.sampled_from(ways))
    if way == "unknown":
        name = draw(st.text("abcdefgh", min_size=9, max_size=12))
        return (*path[:-1], name), 1
    if way == "range":
        return path, draw(st.sampled_from(_out_of_range(part)))
    others = [kind for kind in OF_TYPE if kind not in kinds]
    if "number" in kinds:
        others.remove("integer")
    if "integer" in kinds:
        others.remove("number")  # 2.0 is 2
    if path[0] == "methods" and len(path) == 2:
        others.remove("null")  # `das:` alone is `das: {}`
    return path, draw(OF_TYPE[draw(st.sampled_from(others))])


def _out_of_range(part):
    """Values of the right type that the schema forbids."""
    found = []
    step = 1 if part.get("type") == "integer" else 0.5
    found += [part["minimum"] - step] if "minimum" in part else []
    found += [part["maximum"] + step] if "maximum" in part else []
    found += [part["exclusiveMinimum"]] if "exclusiveMinimum" in part else []
    found += [part["exclusiveMaximum"]] if "exclusiveMaximum" in part else []
    found += ["nothing of the kind"] if "enum" in part or "pattern" in part else []
    found += [[]] if part.get("minItems") else []
    found += ["x" * (part["maxLength"] + 1)] if "maxLength" in part else []
    return found


def put(data, path, value):
    """Put the value where the path leads, making sections on the way; the data may be unfit."""
    data = copy.deepcopy(data)
    place = data
    for key, following in zip(path[:-1], path[1:], strict=True):
        new = [] if isinstance(following, int) else {}
        if isinstance(key, int):
            if not place:
                place.append(new)
            place[0] = place[0] if isinstance(place[0], type(new)) else new
            place = place[0]
        else:
            if not isinstance(place.get(key), type(new)):
                place[key] = new
            place = place[key]
    if isinstance(path[-1], int):
        place[:] = [value, *place[1:]]
    else:
        place[path[-1]] = value
    return data


def named(sentences, path):
    """Whether a sentence names the key, or the list that it makes unfit."""
    paths = [path, path[:-1]] if isinstance(path[-1], int) else [path]  # a list of one is too short
    return any(f" {yaml_schema.dotted(p)} " in sentence for p in paths for sentence in sentences)


def refusal(root, path, value):
    with pytest.raises(UserError) as caught:
        load(root, put(raw(), path, value))
    return str(caught.value).splitlines()


def test_every_broken_file_is_answered_with_the_key(blank, fault, whole):
    name = "broken experiment file, to the validator"
    fault(name)
    tried, most = [], IN_PROCESS[whole]

    @settings(max_examples=most, deadline=None, derandomize=True)
    @given(breakage=breakages())
    def try_one(breakage):
        check(blank, breakage)
        tried.append(breakage)

    try_one()
    assert len(tried) >= most
    fault(name, len(tried), "each refused in one sentence per mistake, naming the key")


def check(blank, breakage):
    sentences = refusal(blank, *breakage)
    assert named(sentences, breakage[0]), sentences
    for sentence in sentences:
        assert sentence.startswith("config/experiments/changed.yaml: ")
        assert sentence.isprintable()


@pytest.mark.workflow
def test_broken_files_through_the_front_door(blank_repository, fault):
    """``./run`` itself: status 1, the key, no traceback, and Snakemake is not even started."""
    name = "broken experiment file, to `./run`"
    fault(name)
    rng = random.Random(0)
    broken = {}
    while len(broken) < THROUGH_RUN:
        path, part = rng.choice(LEAVES)
        wrong = _out_of_range(part) or [{"not": ["what"]} if part.get("type") != "object" else 7]
        broken[path] = rng.choice(wrong)
    file = blank_repository.folder / config.FOLDER / "smoke.yaml"
    for path, value in broken.items():
        file.write_text(yaml.safe_dump(put(raw(), path, value), sort_keys=False))
        done = blank_repository.run("smoke", check=False)
        sentences = done.stderr.splitlines()
        assert done.returncode == 1
        assert named(sentences, path), (path, value, sentences)
        assert all(s.startswith("run: config/experiments/smoke.yaml: ") for s in sentences)
        assert "Traceback" not in done.stderr + done.stdout
    fault(name, len(broken), "each refused before Snakemake starts, naming the key; no traceback")
