"""Experiments in miniature differ from the large ones in numbers alone, and no number grows."""

import pytest
import yaml

from dasbench.errors import UserError
from dasbench.experiments import config, debug_size
from experiment_files import ROOT, load, make_repository, raw

SMALL = [name for name in config.names(ROOT) if "debug_of" in raw(name)]
DERIVED = {"name", "seed_name", "base_home", "title", "debug_of"}


def walk(large, small, path=()):
    """Every pair of leaves, the slow way; lists must be equally long but for those of studies."""
    if isinstance(large, dict):
        if path == ("methods",):
            assert set(small) <= set(large)
        else:
            assert set(small) - DERIVED == set(large) - DERIVED, path
        for key in set(small) - DERIVED:
            yield from walk(large[key], small[key], (*path, key))
    elif isinstance(large, list) and path != ("comparisons",):
        assert len(large) == len(small), path
        for index, pair in enumerate(zip(large, small, strict=True)):
            yield from walk(*pair, (*path, index))
    else:
        yield path, large, small


@pytest.mark.parametrize("name", SMALL)
def test_only_numbers_differ_and_none_grows(name):
    small = config.load(name, ROOT)
    large = config.load(small["debug_of"], ROOT)
    compared = list(walk(large, small))
    assert len(compared) > 60
    shrunk = 0
    for path, big, little in compared:
        assert type(big) is type(little), path
        if isinstance(big, bool | str) or big is None:
            assert big == little, path
        elif path == ("comparisons",):
            assert all(pair in big for pair in little)
        elif path != ("subsets", "models_per_job"):  # how many models share a process
            assert little <= big, path
            shrunk += little < big
    assert shrunk > 15


def test_the_papers_experiments_have_one():
    papers = ("cifar2", "cifar10", "celeba", "artbench2", "artbench5")
    assert {f"debug_{name}" for name in papers} <= set(SMALL)


@pytest.mark.parametrize("names", [("cifar2", "cifar10", "celeba"), ("artbench2", "artbench5")])
def test_the_miniatures_of_each_family_run_every_readout_and_noise(names):
    made = [config.methods(config.load(f"debug_{name}", ROOT)) for name in names]
    small = [options for methods in made for options in methods.values()]
    features = [o["features"] for o in small if isinstance(o.get("features"), dict)]
    assert {f["readout"] for f in features} == {"loss", "square", "mean"}
    assert {f["noise"] for f in features} == {"keyed", "common", "batch"}
    assert {o["residual"] for o in small if "residual" in o} == {"none", "scalar", "released"}


CHANGES = {
    "model: {dropout: 0.5}": "model.dropout",
    "model: {down_block_types: [DownBlock2D, DownBlock2D], dropout: 0.0}": "model.dropout",
    "model: {down_block_types: [DownBlock2D, AttnDownBlock2D]}": "model.down_block_types[1] is",
    "training: {flip: true}": "training.flip is True, expected False",
    "training: {epochs: 3}": "training.epochs is 3, expected at most 2",
    "training: {ema_decay: null}": "training.ema_decay is None, expected 0.99",
    "training: {weight_decay: 0}": "training.weight_decay is 0.0, expected more than 0",
    "model: {freq_shift: 0}": "model.freq_shift is",
    "seed: 1": "seed is 1, expected 0",
    "data: {classes: [0]}": "data.classes",
    "features: {projection: gaussian}": "features.projection is gaussian",
    "{methods: {das: {leverage: false}, dtrak: {}, trak: {}, das_common: {}, dtrak_common: {}, "
    "das_stepwise: {features: {timesteps: 3, dimensions: 64}}, nearest: {}, floor: {}, "
    "pixel_cosine: {}}}": "methods.das.leverage is in one of the two only",
    "{methods: {das: {}, dtrak: {}, trak: {}, das_common: {}, dtrak_common: {}, pixel_cosine: {}, "
    "das_stepwise: {features: {timesteps: 3, dimensions: 64}}, nearest: {}, floor: {}, "
    "mine: {like: das}}}": "methods.mine is in one of the two only",
    "removal: {k: [13]}": "removal.k[0] is 13",
    "removal: {k: [3, 5]}": "removal.k has 2 entries, expected 1 to 1",
    "debug_of: changed": "which leads back to itself",
    "debug_of: none": "debug_of is none, expected one of the other experiments",
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_path_or_a_larger_number_is_refused(tmp_path, change):
    root = make_repository(tmp_path)
    file = {"title": "small", "debug_of": "smoke", **yaml.safe_load(change)}
    with pytest.raises(UserError) as told:
        load(root, file)
    assert CHANGES[change] in str(told.value)


def test_a_miniature_takes_everything_else_over(tmp_path):
    root = make_repository(tmp_path)
    file = {"title": "small", "debug_of": "smoke", "methods": {"das": {}, "dtrak": {}}}
    file |= {"removal": {"methods": ["das"]}, "comparisons": [{"a": "das", "b": "dtrak"}]}
    small, large = load(root, file), config.load("smoke", root)
    assert small["seed_name"] == "changed"
    assert list(small["methods"]) == ["das", "dtrak"]
    changed = {"title", "methods", "removal", "comparisons", "name", "seed_name"}
    changed |= {"base_home", "debug_of"}
    for key in set(large) - changed:
        assert small[key] == large[key], key


def test_merging_leaves_the_large_experiment_alone():
    large = {"name": "x", "model": {"a": [1, 2]}, "methods": {"das": {}}}
    merged = debug_size.merge(large, {"model": {"a": [1]}, "methods": {}})
    assert merged == {"model": {"a": [1]}, "methods": {}}
    assert large["model"]["a"] == [1, 2]
