"""Experiment files: what is accepted, what is derived, and how a mistake is told."""

import copy
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dasbench import config
from dasbench.config_schema import dotted
from dasbench.errors import UserError
from dasbench.registry import DATASETS, METHODS

ROOT = Path(__file__).parents[2]
RECORDED = ("digits", "smoke")


def raw(name="smoke"):
    return yaml.safe_load((ROOT / config.FOLDER / f"{name}.yaml").read_text())


@pytest.fixture(scope="session")
def blank(tmp_path_factory):
    """A repository with the schema and the smoke experiment only."""
    root = tmp_path_factory.mktemp("repository")
    (root / config.FOLDER).mkdir(parents=True)
    (root / config.SCHEMA).parent.mkdir(parents=True)
    shutil.copy(ROOT / config.SCHEMA, root / config.SCHEMA)
    shutil.copy(ROOT / config.FOLDER / "smoke.yaml", root / config.FOLDER)
    return root


def load(root, data, name="changed"):
    """Write an experiment (a dict or YAML text), load it, remove it again."""
    path = root / config.FOLDER / f"{name}.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
    try:
        return config.load(name, root)
    finally:
        path.unlink()


def error(root, data, name="changed"):
    with pytest.raises(UserError) as caught:
        load(root, data, name)
    return str(caught.value)


def changed(path, value):
    """The smoke experiment with one value replaced; ``...`` removes the key."""
    data = raw()
    *parents, last = path.split(".")
    section = data
    for key in parents:
        section = section[key]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return data


def test_all_experiments_load():
    experiments = config.load_all(ROOT)
    assert set(RECORDED) <= set(experiments)
    for name, experiment in experiments.items():
        assert experiment["name"] == name
        assert experiment["title"]


def test_recorded_experiments_name_every_section():
    """DVC compares sections of the file, so a default must not hide there."""
    sections = set(yaml.safe_load((ROOT / config.SCHEMA).read_text())["properties"]) - {"parent"}
    for name in RECORDED:
        assert set(raw(name)) == sections


def test_smoke_has_the_graph_of_digits():
    smoke, digits = (config.load(name, ROOT) for name in ("smoke", "digits"))
    assert list(smoke["methods"]) == list(digits["methods"])
    assert list(config.feature_sets(smoke)) == list(config.feature_sets(digits))
    assert smoke["comparisons"] == digits["comparisons"]


def test_defaults_are_filled_in(blank):
    data = raw()
    required = {"title", "data", "model", "training", "subsets", "methods"}
    data = {key: value for key, value in data.items() if key in required}
    data["training"] = {"epochs": 60}
    del data["data"]["classes"]
    experiment = load(blank, data)
    assert experiment["seed"] == 0
    assert experiment["data"]["classes"] == "all"
    assert experiment["training"]["betas"] == [0.9, 0.999]
    assert experiment["queries"] == {"val": 150, "gen": 150, "tuning": 50, "sampling_steps": 50}
    assert experiment["removal"]["methods"] == []
    assert (experiment["parent"], experiment["seed_name"]) == (None, "changed")


def test_numbers_have_one_spelling(blank):
    data = yaml.safe_dump(raw()).replace("epochs: 2", "epochs: 2.0")
    data = data.replace("learning_rate: 0.001", "learning_rate: 1e-3").replace("1.0", "1")
    assert config.canonical(load(blank, data, "smoke2") | {"name": "", "seed_name": ""}) == (
        config.canonical(config.load("smoke", blank) | {"name": "", "seed_name": ""})
    )


MISTAKES = [
    ("training.epoch", 3, "training.epoch is not a known key; allowed: epochs, batch_size"),
    ("training.epoch", 3, "did you mean epochs?"),
    ("training.epochs", ..., "training.epochs is missing; expected an integer at least 1"),
    ("training.epochs", 0, "training.epochs is 0, expected an integer at least 1"),
    ("training.epochs", "many", 'training.epochs is "many", expected an integer'),
    ("training.epochs", True, "training.epochs is true, expected an integer"),
    ("training.learning_rate", 0, "training.learning_rate is 0, expected a number above 0"),
    ("training.betas", [0.9], "training.betas is [0.9], expected a list of 2"),
    ("training.schedule", "cosin", "expected one of cosine, linear"),
    ("training.warmup_steps", 8, "expected fewer than the 8 steps"),
    ("training", None, "training is null, expected a mapping"),
    ("data.dataset", "digit", "which is not a registered dataset; known: digits; did you mean"),
    ("data.classes", "some", 'data.classes is "some", expected a list of at least 1'),
    ("data.train", 3, "data.train is 3, expected an integer at least 4"),
    ("model.sample_size", 8, "model.sample_size is not a known key"),
    ("model.norm_num_groups", 3, "model.block_out_channels[0] is 8, expected a multiple of"),
    ("model.up_block_types", ["UpBlock2D"], "model.up_block_types has 1 blocks, expected 2"),
    ("subsets.models_per_job", 3, "subsets.eval.models is 8, expected a multiple of"),
    ("subsets.models_per_job", 8, "subsets.tune.models is 4, expected a multiple of"),
    ("subsets.eval.seeds", 1, "subsets.eval.seeds is 1, expected an integer at least 2"),
    ("subsets.fraction", 0.001, "subsets.fraction is 0.001, expected a share"),
    ("queries.tuning", 12, "queries.tuning is 12, expected fewer than queries.val"),
    ("queries.sampling_steps", 1001, "expected at most diffusion.timesteps, 1000"),
    ("features.projection", "sparse", "expected one of rademacher, gaussian, none"),
    ("damping.exponents", [0, -8], "damping.exponents is [0, -8], expected the smaller"),
    ("damping.mantissas", [2, 1], "damping.mantissas is [2.0, 1.0], expected ascending"),
    ("methods.das2", {}, "methods.das2 is not a registered method; known: random"),
    ("methods.das2", {"like": "dass"}, "methods.das2.like is dass, which is not a registered"),
    ("methods.das", {"like": "trak"}, "methods.das.like is trak, but das is registered itself"),
    ("methods.das", {"measure": "dot"}, "is not an option of this method; allowed: features"),
    ("methods.das", {"leverag": True}, "methods.das.leverag is not a known key"),
    ("methods.das", {"features": "pixels"}, "must stay what it is in the registry"),
    ("methods.mine", {"like": "external"}, "methods.mine.scores is missing"),
    ("methods.Mine", {"like": "das"}, "methods.Mine is not a usable name"),
    ("methods.null", {"like": "das"}, "methods.null is a word of the removal tables"),
    ("methods.das", {"features": {"timesteps": 1001}}, "methods.das.features.timesteps is 1001"),
    ("removal.k", [120], "removal.k[0] is 120, expected fewer than data.train, 120"),
    ("removal.k", [], "removal.k is empty"),
    ("removal.queries", 9, "removal.queries is 9, expected at most queries.gen - queries.tuning"),
    ("removal.methods", ["dax"], "removal.methods[0] is dax, expected one of this experiment's"),
    ("comparisons", [{"a": "das", "b": "x"}], "comparisons[0].b is x, expected one of"),
    ("comparisons", [{"a": "das", "b": "das"}], "comparisons[0] compares das with itself"),
    ("lds.level", math.nan, "lds.level is nan, expected a finite number"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence(blank, path, value, sentence):
    message = error(blank, changed(path, value))
    assert message.startswith("config/experiments/changed.yaml: ")
    assert sentence in message
    if path != "training":  # without the section nothing else can be said
        assert len(message.splitlines()) <= 2  # both levels, both uses


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("title: a\ntitle: b\n", "line 2: title is given twice"),
        ("data: {train: 1, train: 2}\n", "train is given twice"),
        ("data: &x {train: 1}\nmodel: *x\n", "aliases (*name) are not supported"),
        ("a: &a [*a]\n", "aliases (*name) are not supported"),
        ("data: {<<: {train: 1}}\n", "merge keys (<<) are not supported"),
        ("? [a]\n: b\n", "a key must be a text"),
        ("1: b\n", "key 1 is not a text"),
        ("title: 2024-01-01\n", "title is read by YAML as a date; put it in quotes"),
        ("title: !!python/object/apply:os.system [true]\n", "not valid YAML"),
        ("title: [\n", "not valid YAML"),
        ("", "expected a mapping of sections"),
        ("[1, 2]", "expected a mapping of sections"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a\x00b", "not valid YAML"),
    ],
)
def test_yaml_that_is_not_what_it_looks_like(blank, text, sentence):
    message = error(blank, text)
    assert message.startswith("config/experiments/changed.yaml: ")
    assert sentence in message


def test_not_utf8(blank):
    path = blank / config.FOLDER / "latin.yaml"
    path.write_bytes(b"title: \xe9\n")
    with pytest.raises(UserError, match=r"latin\.yaml: cannot be read"):
        config.load("latin", blank)
    path.unlink()


@pytest.mark.parametrize("name", ["Upper", "1st", "with-dash", "test", "all", "help", "lds_smoke"])
def test_names_that_an_experiment_may_not_bear(blank, name):
    message = error(blank, raw(), name)
    assert f"config/experiments/{name}.yaml" in message
    assert message.endswith("rename the file")


def test_reserved_names_come_from_scripts_and_callers_too(blank, tmp_path):
    shutil.copytree(blank, tmp_path, dirs_exist_ok=True)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/smoke.py").touch()
    with pytest.raises(UserError, match="name of a rule"):
        config.load("smoke", tmp_path)
    with pytest.raises(UserError, match="name of a rule"):
        config.load("smoke", blank, reserved=["smoke"])


def test_unknown_experiment_lists_the_known_ones(blank):
    with pytest.raises(UserError, match=r"^smok is not an experiment; known: smoke; did you mean"):
        config.load("smok", blank)
    with pytest.raises(UserError, match="is not an experiment"):
        config.load("../experiments/smoke", blank)


CHILD = {"title": "child", "parent": "smoke", "methods": {"das": {}}}


def test_a_child_uses_what_its_parent_has(blank):
    parent, child = config.load("smoke", blank), load(blank, CHILD)
    for section in config.SHARED:
        assert child[section] == parent[section]
    assert child["outputs"] == parent["outputs"]
    assert (child["parent"], child["seed_name"], child["name"]) == ("smoke", "smoke", "changed")
    assert child["removal"]["methods"] == []


def test_a_child_overrides_single_keys_of_what_is_its_own(blank):
    child = load(blank, {**CHILD, "features": {"timesteps": 4}})
    assert child["features"]["timesteps"] == 4
    assert child["features"]["dimensions"] == 64


def test_a_grandchild_shares_the_root(blank):
    path = blank / config.FOLDER / "middle.yaml"
    path.write_text(yaml.safe_dump(CHILD))
    try:
        grandchild = load(blank, {**CHILD, "parent": "middle"})
    finally:
        path.unlink()
    assert (grandchild["parent"], grandchild["seed_name"]) == ("middle", "smoke")


@pytest.mark.parametrize("section", config.SHARED)
def test_a_child_has_none_of_the_shared_sections(blank, section):
    message = error(blank, {**CHILD, section: raw()[section]})
    assert f"{section} cannot stand beside parent: smoke" in message


@pytest.mark.parametrize("parent", ["changed", "gone"])
def test_parents_must_exist_and_not_lead_back(blank, parent):
    assert f"parent is {parent}" in error(blank, {**CHILD, "parent": parent})


def test_a_ring_of_parents_is_told(blank):
    path = blank / config.FOLDER / "middle.yaml"
    path.write_text(yaml.safe_dump({**CHILD, "parent": "changed"}))
    try:
        assert "(changed -> middle -> changed)" in error(blank, {**CHILD, "parent": "middle"})
    finally:
        path.unlink()


def test_methods_are_resolved(blank):
    data = raw()
    data["methods"]["das"] = None
    data["methods"]["das_short"] = {
        "like": "das",
        "features": {"noise": "batch"},
        "leverage": False,
    }
    data["methods"]["mine"] = {"like": "external", "scores": {"val": "v.npy", "gen": "g.npy"}}
    experiment = load(blank, data)
    resolved = config.methods(experiment)
    assert list(resolved) == list(data["methods"])
    features = {**experiment["features"], **METHODS["das"]["features"]}
    assert resolved["das"] == {**METHODS["das"], "features": features}
    assert resolved["das_short"] == {
        **METHODS["das"],
        "features": {**features, "noise": "batch"},
        "leverage": False,
    }
    assert resolved["pixel_cosine"] == METHODS["pixel_cosine"]
    assert resolved["mine"]["scores"] == {"val": "v.npy", "gen": "g.npy"}


def test_resolving_does_not_touch_registry_or_experiment(blank):
    experiment, registry = config.load("smoke", blank), copy.deepcopy(METHODS)
    before = copy.deepcopy(experiment)
    for options in config.methods(experiment).values():
        options.clear()
    config.methods(experiment)["das"]["features"]["noise"] = "broken"
    assert (experiment, METHODS) == (before, registry)


def test_feature_sets_are_shared_and_named(blank):
    data = raw()
    for name, over in {
        "das_t": {"timesteps": 10, "dimensions": 1024},
        "das_g": {"projection": "gaussian", "draws": 3},
        "das_u": {"projection": "none"},
        "das_same": {"timesteps": 2},
    }.items():
        data["methods"][name] = {"like": "das", "features": over}
    experiment = load(blank, data)
    sets = config.feature_sets(experiment)
    assert set(sets) == {
        "loss-keyed",
        "loss-common",
        "square-keyed",
        "square-common",
        "mean-normalised-keyed",
        "mean-normalised-common",
        "l1-normalised-keyed",
        "mean-normalised-batch-released",
        "mean-normalised-keyed-T10-P1024",
        "mean-normalised-keyed-E3-gaussian",
        "mean-normalised-keyed-unprojected",
    }
    assert len({config.canonical(value) for value in sets.values()}) == len(sets)
    assert sets["mean-normalised-keyed-T10-P1024"]["timesteps"] == 10
    assert config.feature_name("pixels", experiment) is None
    assert config.feature_name(None, experiment) is None


def test_canonical_ignores_order_only():
    assert config.canonical({"b": 1, "a": [1.0, None]}) == '{"a":[1.0,null],"b":1}'
    assert config.canonical([1, 2]) != config.canonical([2, 1])
    with pytest.raises(ValueError, match="JSON compliant"):
        config.canonical(math.inf)


def test_registry_is_complete():
    for name, entry in METHODS.items():
        assert config.NAME.fullmatch(name)
        module = ROOT / "src" / (entry["module"].replace(".", "/") + ".py")
        assert module.is_file(), f"{name}: {module} is missing"
        json.dumps(entry)
    for name, module in DATASETS.items():
        assert (ROOT / "src" / (module.replace(".", "/") + ".py")).is_file(), name


def walk(schema, path=()):
    yield path, schema
    for kind in ("properties", "patternProperties"):
        for key, part in schema.get(kind, {}).items():
            yield from walk(part, (*path, key))
    if "items" in schema:
        yield from walk(schema["items"], (*path, "items"))


def test_schema_describes_and_closes_everything():
    schema = yaml.safe_load((ROOT / config.SCHEMA).read_text())
    for path, part in walk(schema):
        if "properties" in part or "patternProperties" in part:
            assert part["additionalProperties"] is False, path
        if path and path[-1] != "items":
            assert part.get("description"), path
        if {"integer", "number"} & set(
            [part.get("type")] if isinstance(part.get("type"), str) else part["type"]
        ):
            assert {"minimum", "exclusiveMinimum"} & set(part), path
            assert {"maximum", "exclusiveMaximum"} & set(part), path


def test_model_keys_are_arguments_of_the_model():
    """Read from the source: importing diffusers takes seconds."""
    import ast
    import importlib.util

    folder = Path(importlib.util.find_spec("diffusers").origin).parent
    tree = ast.parse((folder / "models/unets/unet_2d.py").read_text())
    model = next(
        n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == "UNet2DModel"
    )
    init = next(n for n in model.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    arguments = {argument.arg for argument in init.args.args}
    schema = yaml.safe_load((ROOT / config.SCHEMA).read_text())
    assert set(schema["properties"]["model"]["properties"]) <= arguments


def test_readme_explains_every_key():
    text = (ROOT / "config/README.md").read_text()
    schema = yaml.safe_load((ROOT / config.SCHEMA).read_text())
    for path, part in walk(schema):
        if (
            path
            and path[-1] != "items"
            and "properties" not in part
            and "patternProperties" not in part
        ):
            keys = [key for key in path if key != "items" and not key.startswith("^")]
            if keys[0] == "methods":
                keys = keys[-1:]
            assert f"`{dotted(keys)}`" in text, path


def test_readme_states_the_defaults():
    text = (ROOT / "config/README.md").read_text()
    schema = yaml.safe_load((ROOT / config.SCHEMA).read_text())
    for path, part in walk(schema):
        if "default" in part and part["default"] != {}:
            row = next(line for line in text.splitlines() if line.startswith(f"| `{dotted(path)}`"))
            stated = yaml.safe_load(row.split("|")[4].strip().strip("`"))
            assert stated == part["default"], path


def test_importing_config_is_cheap():
    code = (
        "import sys, dasbench.config\n"
        "heavy = {'numpy', 'torch', 'pandas', 'scipy', 'diffusers', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, check=False
    )
    assert done.returncode == 0


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


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(sorted(places(raw()), key=str)),
    key=st.text(max_size=8),
    value=VALUES,
    inside=st.booleans(),
)
def test_a_broken_file_never_gives_anything_but_a_sentence(blank, path, key, value, inside):
    """Either the change is allowed and everything derived works, or a UserError names the file."""
    data = put(raw(), (*path, key) if inside and isinstance(at(raw(), path), dict) else path, value)
    try:
        experiment = load(blank, data)
    except UserError as caught:
        for line in str(caught).splitlines():
            assert line.startswith("config/experiments/changed.yaml: ")
            assert len(line) < 1000
        return
    config.canonical(config.methods(experiment))
    assert config.feature_sets(experiment) is not None


def at(data, path):
    for key in path:
        data = data[key]
    return data


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=60))
def test_any_text_is_refused_with_a_sentence(blank, text):
    path = blank / config.FOLDER / "text.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UserError, match=r"^config/experiments/text\.yaml: "):
        config.load("text", blank)
    path.unlink()
