"""Which files the rules give to a method: never those that it is judged by."""

import argparse
import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest

from dasbench.attribution import method_files, method_inputs
from dasbench.attribution.input_files import Files
from dasbench.attribution.methods import interface
from dasbench.core import artifacts, query_kinds, script_main
from dasbench.experiments import config
from dasbench.registry import METHODS
from experiment_files import ROOT
from unit.attribution.test_method_inputs import AXES, files, files_in  # noqa: F401

EXPERIMENT = config.load("smoke", ROOT)
FAMILIES = sorted({options["module"] for options in METHODS.values()})


def named_files():
    """Method -> its files by flag, in one experiment with every method."""
    # a kernel that keeps timesteps apart, for a family whose registered methods average
    pooled = {"pooled": {"like": "das_vector", "kernel": "pooled"}}
    everything = {**EXPERIMENT, "methods": {name: {} for name in METHODS} | pooled}
    everything["embedding"] = {**everything["embedding"], "model": "some/clip"}
    methods = config.methods(everything)
    methods["external"]["scores"] = {kind: f"theirs/{kind}.npy" for kind in query_kinds.KINDS}
    return {name: method_files.files(name, everything, o) for name, o in methods.items()}


@pytest.fixture(scope="module")
def named():
    return named_files()


@pytest.mark.parametrize("name", METHODS)
def test_no_method_is_given_evaluation_subsets(name, named):
    given = method_files.paths(named[name])
    flags = shlex.split(method_files.flags(named[name]))
    assert given
    for path in [*given, *flags]:
        assert not {"eval", "lds", "removal", "scores"} & set(path.split("/")), path
    retrained = [p for p in given if {"masks", "outputs", "models"} & set(p.split("/"))]
    home = "results/smoke"
    tuning = {
        f"{home}/masks/tune.npy",
        *(f"{home}/outputs/tune/loss-{k}.npy" for k in ("val", "gen")),
    }
    # the rule of a computed method has read them, see test_files_ensembles
    reads = METHODS[name].get("tuning") and "computed" not in METHODS[name]
    assert set(retrained) == (tuning if reads else set())


@pytest.mark.parametrize("name", METHODS)
def test_a_script_reads_from_the_flags_what_the_rule_depends_on(name, named):
    """Every file of the rule lies where a field of ``Files`` points."""
    parser = argparse.ArgumentParser()
    script_main.add_paths(parser, Files)
    args = parser.parse_args(shlex.split(method_files.flags(named[name])))
    read = script_main.paths(args, Files)
    places = [getattr(read, field.name) for field in dataclasses.fields(Files)]
    places = {
        p for place in places if place for p in (place if isinstance(place, tuple) else [place])
    }
    expected = {
        Path(path).parent if isinstance(entry, list) else Path(path)
        for entry in named[name].values()
        for path in (entry if isinstance(entry, list) else [entry])
    }
    assert places == expected


@pytest.mark.parametrize("module", FAMILIES)
def test_a_family_is_given_what_it_lists_and_nothing_else(module, named, monkeypatch):
    family = interface.family({"module": module})
    assert set(family.needs) <= set(method_inputs.NEEDS)
    for need in family.needs:
        fewer = tuple(name for name in family.needs if name != need)
        monkeypatch.setattr(family, "needs", fewer)
        assert named_files() != named, f"no method of {module} has {need}"
        monkeypatch.undo()
    monkeypatch.setattr(family, "needs", ())
    for name, given in named_files().items():
        entry = METHODS.get(name, METHODS["das_vector"])
        if entry["module"] == module:
            assert set(given) == {"examples", "queries"}
        else:
            assert given == named[name]


@pytest.fixture
def tuned(files):  # noqa: F811
    """Files of five examples and three queries, with four tuning subsets and computed scores."""
    folder, made = files
    rng = np.random.default_rng(0)
    made["masks"] = rng.integers(0, 2, (4, 5)).astype(bool)
    artifacts.save_array(folder / "tuning-masks.npy", made["masks"])
    for kind in query_kinds.KINDS:
        made[f"outputs-{kind}"] = rng.random((2, 4, 3), np.float32)
        made[f"computed-{kind}"] = rng.random((2, 5, 3), np.float32)
        artifacts.save_array(folder / f"tuning-{kind}.npy", made[f"outputs-{kind}"])
        artifacts.save_array(folder / "computed" / f"{kind}.npy", made[f"computed-{kind}"])
    artifacts.save_array(folder / "computed" / "dampings.npy", np.array([0.1, 1.0]))
    return folder, made


def test_tuning_outputs_are_averaged_over_seeds(tuned):
    folder, made = tuned
    tuning = {f"tuning_{n}": folder / f"tuning-{n}.npy" for n in ("masks", "val", "gen")}
    given = dataclasses.replace(files_in(folder), **tuning, computed=folder / "computed")
    for kind in query_kinds.KINDS:
        inputs = method_inputs.load(given, kind, AXES, {})
        np.testing.assert_array_equal(inputs.tuning_masks, made["masks"])
        np.testing.assert_allclose(
            inputs.tuning_outputs, made[f"outputs-{kind}"].astype(float).mean(0), rtol=1e-15
        )
        assert inputs.tuning_outputs.dtype == np.float64
        np.testing.assert_array_equal(inputs.computed.scores, made[f"computed-{kind}"])
        np.testing.assert_array_equal(inputs.computed.values, [0.1, 1.0])
