"""Which files the rules give to a method: never those that it is judged by."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dasbench.attribution.methods import interface
from dasbench.core import artifacts, query_kinds
from dasbench.experiments import config, feature_sets, residual_sets
from dasbench.registry import METHODS
from experiment_files import ROOT
from unit.test_method_inputs import AXES, arguments, files  # noqa: F401

EXPERIMENT = config.load("smoke", ROOT)


@pytest.fixture(scope="module")
def rules():
    """The functions of workflow/functions/score.smk for one experiment with every method."""
    everything = {**EXPERIMENT, "methods": {name: {} for name in METHODS}}
    everything["embedding"] = {**everything["embedding"], "model": "some/clip"}
    methods = config.methods(everything)
    methods["external"]["scores"] = {kind: f"theirs/{kind}.npy" for kind in query_kinds.KINDS}
    names = {
        "EXPERIMENTS": {"smoke": everything},
        "METHODS": {"smoke": methods},
        "QUERY_FILES": ["val.npy", "gen.npy", "gen_noise.npy", "uses.json"],
        "SPECTRUM": ["eigenvalues"],
        "COMPUTED": ["dampings", *query_kinds.KINDS],
        "experiments": config,
        "feature_sets": feature_sets,
        "layout": query_kinds,
        "residual_name": lambda _, options: residual_sets.name_of(options, everything),
        "shlex": shlex,
        "Path": Path,
    }
    exec((ROOT / "workflow/functions/score.smk").read_text(), names)
    return names


@pytest.mark.parametrize("name", METHODS)
def test_no_method_is_given_evaluation_subsets(name, rules):
    which = SimpleNamespace(experiment="smoke", method=name)
    given = rules["method_inputs"](which)
    flags = shlex.split(rules["method_flags"](which))
    assert given
    for path in [*given, *flags]:
        assert not {"eval", "lds", "removal", "scores"} & set(path.split("/")), path
    retrained = [p for p in given if {"masks", "outputs", "models"} & set(p.split("/"))]
    home = "results/smoke"
    tuning = {
        f"{home}/masks/tune.npy",
        *(f"{home}/outputs/tune/loss-{k}.npy" for k in ("val", "gen")),
    }
    assert set(retrained) == (tuning if METHODS[name].get("tuning") else set())


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
    args = arguments(folder)
    for name in ("masks", "val", "gen"):
        setattr(args, f"tuning_{name}", folder / f"tuning-{name}.npy")
    args.computed = folder / "computed"
    for kind in query_kinds.KINDS:
        inputs = interface.load(args, kind, AXES)
        np.testing.assert_array_equal(inputs.tuning_masks, made["masks"])
        np.testing.assert_allclose(
            inputs.tuning_outputs, made[f"outputs-{kind}"].astype(float).mean(0), rtol=1e-15
        )
        assert inputs.tuning_outputs.dtype == np.float64
        np.testing.assert_array_equal(inputs.computed.scores, made[f"computed-{kind}"])
        np.testing.assert_array_equal(inputs.computed.dampings, [0.1, 1.0])
