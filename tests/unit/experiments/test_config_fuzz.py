"""No file, however broken, gives anything but a loaded experiment or a sentence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dasbench.errors import UserError
from dasbench.experiments import config, feature_sets
from experiment_files import load, raw

# Anything that YAML can say, put in the place of any value, or beside any key.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.binary(max_size=4),
    st.sampled_from(["das", "all", "pixels", "1e-4", "true", "smoke", 10**400, -1, 0, 1, 2.0]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=3),
    ),
    max_leaves=5,
)


def places(data, path=()):
    yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from places(value, (*path, index))


def put(data, path, value):
    if not path:
        return value
    section = data
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return data


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(sorted(places(raw()), key=str)),
    key=st.text(max_size=8),
    value=VALUES,
    inside=st.booleans(),
)
def test_a_broken_file_never_gives_anything_but_a_sentence(blank, path, key, value, inside):
    """The change is allowed and all that is derived works, or a UserError names the file."""
    data = put(raw(), (*path, key) if inside and isinstance(at(raw(), path), dict) else path, value)
    try:
        experiment = load(blank, data)
    except UserError as caught:
        for line in str(caught).splitlines():
            assert line.startswith("config/experiments/changed.yaml: ")
            assert len(line) < 1000
        return
    config.canonical(config.methods(experiment))
    assert feature_sets.sets(experiment) is not None


def at(data, path):
    for key in path:
        data = data[key]
    return data


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_is_refused_with_a_sentence(blank, text):
    path = blank / config.FOLDER / "text.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UserError, match=r"^config/experiments/text\.yaml: "):
        config.load("text", blank)
    path.unlink()
