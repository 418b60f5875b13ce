"""Experiment files: what is accepted, what is derived, and how a mistake is told."""

import copy
import math
import shutil
import subprocess
import sys

import pytest
import yaml

from dasbench.errors import UserError
from dasbench.experiments import config, config_checks, feature_sets
from dasbench.registry import METHODS
from experiment_files import ROOT, load, raw, refusal


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
    assert {"digits", "smoke"} <= set(experiments)
    for name, experiment in experiments.items():
        assert experiment["name"] == name
        assert experiment["title"]


def test_smoke_has_the_graph_of_digits():
    smoke, digits = (config.load(name, ROOT) for name in ("smoke", "digits"))
    assert list(smoke["methods"]) == list(digits["methods"])
    # how many checkpoints are kept is a setting of its own
    sets = [[n for n in feature_sets.sets(e) if "checkpoint" not in n] for e in (smoke, digits)]
    assert sets[0] == sets[1]
    pairs = [[(c["a"], c["b"]) for c in e["comparisons"]] for e in (smoke, digits)]
    assert pairs[0] == pairs[1]


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
    counts = {"val": 150, "gen": 150, "tuning": 50, "sampling_steps": 50}
    assert experiment["queries"] == {**counts, "guidance": 1.0}
    assert experiment["removal"]["methods"] == []
    assert (experiment["parent"], experiment["seed_name"]) == (None, "changed")


def test_numbers_have_one_spelling(blank):
    data = yaml.safe_dump(raw()).replace("epochs: 2", "epochs: 2.0")
    data = data.replace("learning_rate: 0.001", "learning_rate: 1e-3").replace("1.0", "1")
    unnamed = dict.fromkeys(("name", "seed_name", "base_home"), "")
    assert config.canonical(load(blank, data, "smoke2") | unnamed) == (
        config.canonical(config.load("smoke", blank) | unnamed)
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
    ("data.dataset", "digit", "which is not a registered dataset; known: artbench, c"),
    ("data.classes", "some", 'data.classes is "some", expected a list of at least 1'),
    ("data.train", 1, "data.train is 1, expected an integer at least 2"),
    ("model.sample_size", 8, "model.sample_size is not a known key"),
    ("model.norm_num_groups", 3, "model.block_out_channels[0] is 8, expected a multiple of"),
    ("model.up_block_types", ["UpBlock2D"], "model.up_block_types has 1 blocks, expected 2"),
    ("subsets.models_per_job", 3, "subsets.eval.models is 8, expected a multiple of"),
    ("subsets.models_per_job", 8, "subsets.tune.models is 4, expected a multiple of"),
    ("subsets.eval.seeds", 1, "subsets.eval.seeds is 1, expected an integer at least 2"),
    ("subsets.fraction", 0.001, "subsets.fraction is 0.001, expected a share"),
    ("queries.tuning", 12, "queries.tuning is 12, expected fewer than queries.val"),
    ("queries.sampling_steps", 1001, "expected at most diffusion.timesteps, 1000"),
    ("features.projection", "sparse", "expected one of kronecker, rademacher, gaussian, none"),
    ("damping.exponents", [0, -8], "damping.exponents is [0, -8], expected the smaller"),
    ("diffusion.beta_start", 0.5, "diffusion.beta_start is 0.5, expected beta_start (0.5) to be"),
    ("diffusion.beta_end", 1e-5, "diffusion.beta_end is 1e-05, expected beta_start (0.0001) to"),
    ("damping.mantissas", [2, 1], "damping.mantissas is [2.0, 1.0], expected ascending"),
    ("methods.das2", {}, "methods.das2 is not a registered method; known: random"),
    ("methods.das2", {"like": "dass"}, "methods.das2.like is dass, which is not a registered"),
    ("methods.das", {"like": "trak"}, "methods.das.like is trak, but das is registered itself"),
    ("methods.das", {"measure": "dot"}, "is not an option of this method; allowed: features"),
    ("methods.das", {"leverag": True}, "methods.das.leverag is not a known key"),
    ("methods.das", {"features": "pixels"}, "must stay what it is in the registry"),
    ("methods.mine", {"like": "external"}, "methods.mine.scores is missing"),
    ("methods.mine", {"scores": {}}, "methods.mine.scores "),
    ("methods.das", {"scores": {"val": "v.npy", "gen": "g.npy"}}, "is not an option of this"),
    ("methods.Mine", {"like": "das"}, "methods.Mine is not a usable name"),
    ("methods.null", {"like": "das"}, "methods.null is a word of the removal tables"),
    ("methods.das", {"features": {"timesteps": 1001}}, "methods.das.features.timesteps is 1001"),
    ("removal.k", [120], "removal.k[0] is 120, expected fewer than data.train, 120"),
    ("removal.k", [], "removal.k is empty"),
    ("removal.queries", 9, "removal.queries is 9, expected at most queries.gen - queries.tuning"),
    ("removal.methods", ["dax"], "removal.methods[0] is dax, expected one of this experiment's"),
    ("removal.methods", ["random"], "removal.methods[0] is random, which is in every removal"),
    ("removal.methods", ["das", "null"], "removal.methods[1] is null, which is in every removal"),
    ("comparisons", [{"a": "das", "b": "x"}], "comparisons[0].b is x, expected one of"),
    ("comparisons", [{"a": "das", "b": "das"}], "comparisons[0] compares das with itself"),
    (
        "comparisons",
        [{"a": "das", "b": "dtrak", "truth": ["loss", "removal"]}],
        "comparisons[0].truth has removal, so removal.methods needs das and dtrak; it has das, ",
    ),
    ("lds.level", math.nan, "lds.level is nan, expected a finite number"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence(blank, path, value, sentence):
    message = refusal(blank, changed(path, value))
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
        ("seed: 010\n", "line 1: 010 is read by YAML as 8; write a plain number"),
        ("data: {train: 1:30}\n", "1:30 is read by YAML as 90"),
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
    message = refusal(blank, text)
    assert message.startswith("config/experiments/changed.yaml: ")
    assert sentence in message


@pytest.mark.parametrize(
    ("size", "levels", "sentence"),
    [
        (50, 4, "data.size is 50, expected a multiple of 8, because the model halves its images 3"),
        (50, 4, "; take 48 or 56, or another number of entries"),
        (6, 4, "; take 8, or"),
        (7, 2, "; take 6 or 8, or"),
    ],
)
def test_images_can_be_halved_at_every_level(blank, size, levels, sentence):
    """A UNet that cannot stops in its first training step, over shapes."""
    data = changed("data", {"dataset": "folder", "path": "pictures", "train": 120, "size": size})
    for way in ("Down", "Up"):
        data["model"][f"{way.lower()}_block_types"] = [f"{way}Block2D"] * levels
    data["model"]["block_out_channels"] = [8] * levels
    message = refusal(blank, data)
    assert sentence in message
    assert len(message.splitlines()) == 1
    data["data"]["size"] = 2 ** (levels - 1) * 5
    load(blank, data)


@pytest.mark.parametrize("section", ["features", "methods"])
def test_parameters_are_a_group_that_the_family_has(blank, section):
    data = raw()
    if section == "features":
        data["features"]["parameters"] = "lora"
    else:
        data["methods"]["trak"] = {"features": {"parameters": "lora"}}
    message = refusal(blank, data)
    assert "parameters is lora, expected one of all, weights, up_blocks, attention" in message


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base": "somewhere"}, "base is given with family: latent, expected family: pixel"),
        ({"queries": {"guidance": 2}}, "guidance is 2.0, expected 1: only models with prompts"),
    ],
)
def test_what_a_family_cannot_do_is_refused(blank, changes, sentence):
    data = raw()
    data["model"] |= {"family": "latent", "pretrained": "a/b"}
    for section, value in changes.items():
        data[section] = data[section] | value if isinstance(value, dict) else value
    assert sentence in refusal(blank, data)


def test_not_utf8(blank):
    path = blank / config.FOLDER / "latin.yaml"
    path.write_bytes(b"title: \xe9\n")
    with pytest.raises(UserError, match=r"latin\.yaml: cannot be read"):
        config.load("latin", blank)
    path.unlink()


@pytest.mark.parametrize("name", ["Upper", "1st", "with-dash", "test", "all", "help", "lds_smoke"])
def test_names_that_an_experiment_may_not_bear(blank, name):
    message = refusal(blank, raw(), name)
    assert f"config/experiments/{name}.yaml" in message
    assert message.endswith("rename the file")


def test_reserved_names_come_from_scripts_too(blank, tmp_path):
    shutil.copytree(blank, tmp_path, dirs_exist_ok=True)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/smoke.py").touch()
    with pytest.raises(UserError, match="name of a rule"):
        config.load("smoke", tmp_path)


def test_unknown_experiment_lists_the_known_ones(blank):
    with pytest.raises(UserError, match=r"^smok is not an experiment; known: smoke; did you mean"):
        config.load("smok", blank)
    with pytest.raises(UserError, match="is not an experiment"):
        config.load("../experiments/smoke", blank)


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
    skipped = {"embedding_dot", "embedding_cosine"}
    assert list(resolved) == [name for name in data["methods"] if name not in skipped]
    features = {**experiment["features"], **METHODS["das"]["features"]}
    assert resolved["das"] == {**METHODS["das"], "features": features}
    assert resolved["das_short"] == {
        **METHODS["das"],
        "features": {**features, "noise": "batch"},
        "leverage": False,
    }
    assert resolved["pixel_cosine"] == METHODS["pixel_cosine"]
    assert resolved["mine"]["scores"] == {"val": "v.npy", "gen": "g.npy"}


def test_scores_from_elsewhere_need_no_like(blank):
    scores = {"val": "mine/val-1.npy", "gen": "./mine/gen_1..npy"}
    short, long = raw(), raw()
    short["methods"]["mine"] = {"scores": scores}
    long["methods"]["mine"] = {"like": "external", "scores": scores}
    resolved = config.methods(load(blank, short))["mine"]
    assert resolved == config.methods(load(blank, long))["mine"]
    assert resolved == {**METHODS["external"], "scores": scores}


@pytest.mark.parametrize(
    "path", ["../v.npy", "/a/../v.npy", "a/../v.npy", "a b.npy", "a;b.npy", "{x}.npy", "ä.npy"]
)
def test_paths_of_scores_are_plain(blank, path):
    data = raw()
    data["methods"]["mine"] = {"scores": {"val": path, "gen": "g.npy"}}
    message = refusal(blank, data)
    assert message.startswith("config/experiments/changed.yaml: methods.mine.scores.val is ")
    assert "expected a path that is absolute or relative to the repository" in message
    assert len(message.splitlines()) == 1


def test_scores_of_one_kind_of_query_are_enough(blank):
    data = raw()
    data["methods"]["mine"] = {"scores": {"gen": "/data/of-others/gen.npy"}}
    experiment = load(blank, data)
    assert config.kinds(config.methods(experiment)["mine"]) == ("gen",)
    assert config.inapplicable(experiment)["mine"] == {"val": config.NO_FILE}
    data["methods"]["mine"] = {"scores": {"val": "v.npy"}}
    data["removal"]["methods"] = ["mine"]
    assert "has mine, which has no scores of generated images" in refusal(blank, data)


def test_a_broken_file_stops_its_own_experiment_alone(blank):
    folder = blank / config.FOLDER
    text = (folder / "smoke.yaml").read_text()
    (folder / "broken.yaml").write_text(text.replace("epochs: 2", "epochs: 0"))
    (folder / "below.yaml").write_text("title: x\nparent: broken\nmethods: {das: {}}\n")
    try:
        sound, broken = config.load_sound(blank)
    finally:
        for name in ("broken", "below"):
            (folder / f"{name}.yaml").unlink()
    assert set(sound) == {"smoke"}
    assert set(broken) == {"broken", "below"}
    assert str(broken["below"]).startswith("config/experiments/broken.yaml: training.epochs is 0")


@pytest.mark.parametrize(("train", "fraction"), [(5, 0.5), (7, 0.5), (10, 0.29), (10, 0.35)])
def test_subset_size_is_that_of_the_masks(train, fraction):
    numpy = pytest.importorskip("numpy")
    from dasbench.experiments.subsets import draw_mask

    experiment = {"data": {"train": train}, "subsets": {"fraction": fraction}}
    mask = draw_mask(numpy.zeros(train, int), fraction, False, numpy.random.default_rng(0))
    assert config_checks.subset_size(experiment) == mask.sum()


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
    sets = feature_sets.sets(experiment)
    assert set(sets) == {
        "loss-keyed",
        "loss-common",
        "square-keyed",
        "square-common",
        "mean-normalised-keyed",
        "mean-normalised-common",
        "l1-normalised-keyed",
        "mean-normalised-batch-released",
        "loss-keyed-checkpoint00",
        "probe-constant1-rademacher1-cosine2-normalised-keyed",
        "probe-constant1-rademacher1-cosine2-normalised-common",
        "mean-normalised-keyed-T10-P1024",
        "mean-normalised-keyed-E3-gaussian",
        "mean-normalised-keyed-unprojected",
    }
    assert len({config.canonical(value) for value in sets.values()}) == len(sets)
    assert sets["mean-normalised-keyed-T10-P1024"]["timesteps"] == 10
    assert feature_sets.name_of("pixels", experiment) is None
    assert feature_sets.name_of(None, experiment) is None


def test_canonical_ignores_order_only():
    assert config.canonical({"b": 1, "a": [1.0, None]}) == '{"a":[1.0,null],"b":1}'
    assert config.canonical([1, 2]) != config.canonical([2, 1])
    with pytest.raises(ValueError, match="JSON compliant"):
        config.canonical(math.inf)


def test_importing_config_is_cheap():
    code = (
        "import sys, dasbench.experiments.config\n"
        "heavy = {'numpy', 'torch', 'pandas', 'scipy', 'diffusers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, check=False
    )
    assert done.returncode == 0


def test_a_reference_of_costs_is_a_method_that_is_timed(blank):
    def child(name):
        data = "parent: smoke\nmethods: {das: {}, apart: {like: das, kernel: pooled}, random: {}}\n"
        return load(blank, f"title: t\n{data}acceleration: {{reference: {name}}}\n", "child")

    assert child("das")["acceleration"] == {"reference": "das"}
    for name in ("apart", "random"):
        with pytest.raises(UserError, match=f"is {name}, whose cost is not measured"):
            child(name)
    with pytest.raises(UserError, match="expected one of this experiment's methods"):
        child("trak")


def test_a_replicate_needs_a_parent_and_says_whose_base_model_it_has(blank):
    text = "title: t\nparent: smoke\nmethods: {das: {}}\nreplicate: {features: 2}\n"
    assert load(blank, text, "child")["base_home"] == "smoke"
    own = load(blank, text.replace("features", "base"), "child")
    assert (own["base_home"], own["seed_name"]) == ("child", "smoke")
    with pytest.raises(UserError, match="there is no parent to replicate"):
        load(blank, raw() | {"replicate": {"base": 1}})
