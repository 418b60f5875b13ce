"""The files that a method reads: found by their names, refused where they do not fit together."""

import dataclasses

import numpy as np
import pytest

from dasbench.attribution import method_inputs
from dasbench.attribution.input_files import Files
from dasbench.core import artifacts
from dasbench.errors import UserError
from tiny import AXES

LABELS = {"train": np.array([3, 1, 3, 0, 1]), "val": np.array([3, 0, 2])}


@pytest.fixture
def files(tmp_path):
    """The files of a method on disk, 5 training examples and 3 queries."""
    rng, images = np.random.default_rng(0), np.zeros((5, 4, 6, 2), np.uint8)
    artifacts.save_examples(tmp_path / "train.npz", images, LABELS["train"], np.arange(5))
    made = {"train": rng.standard_normal((5, 7)), "residuals": rng.random(5)}
    for kind in ("val", "gen"):
        queries = rng.random((3, 2, 4, 6))
        made[f"queries-{kind}"] = queries.astype("f4")
        artifacts.save_array(tmp_path / "q" / f"{kind}.npy", made[f"queries-{kind}"])
        artifacts.save_array(tmp_path / "q" / f"{kind}_labels.npy", LABELS["val"])
        made[kind], made[f"scores-{kind}"] = rng.standard_normal((3, 7)), rng.random((5, 3))
    for name, array in made.items():
        artifacts.save_array(tmp_path / f"{name}.npy", array.astype("f4"))
    return tmp_path, made


def files_in(folder, *optional):
    paths = {"features": (folder,), "residuals": folder / "residuals.npy"}
    paths |= {f"scores_{kind}": folder / f"scores-{kind}.npy" for kind in ("val", "gen")}
    given = {name: paths[name] for name in optional}
    return Files(examples=folder / "train.npz", queries=folder / "q", **given)


def test_inputs_come_from_the_named_files(files):
    folder, made = files
    given = files_in(folder, "features", "residuals", "scores_val", "scores_gen")
    for kind in ("val", "gen"):
        inputs = method_inputs.load(given, kind, AXES, {})
        assert inputs.shape == (5, 3)
        assert inputs.axes == (*AXES, "methods", kind)
        np.testing.assert_array_equal(inputs.train_features, made["train"].astype("f4"))
        np.testing.assert_array_equal(inputs.query_features, made[kind].astype("f4"))
        np.testing.assert_array_equal(inputs.residuals, made["residuals"].astype("f4"))
        np.testing.assert_array_equal(inputs.scores, made[f"scores-{kind}"].astype("f4"))
        np.testing.assert_array_equal(inputs.query_images, made[f"queries-{kind}"])
        np.testing.assert_array_equal(inputs.query_labels, LABELS["val"])
        np.testing.assert_array_equal(inputs.train_labels, LABELS["train"])
    bare = method_inputs.load(files_in(folder), "val", AXES, {})
    optional = (bare.train_features, bare.query_features, bare.residuals, bare.scores)
    assert optional == (None,) * 4


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("train", (4, 7), r"shape \(4, 7\), expected \(5, any\)"),
        ("val", (2, 7), r"shape \(2, 7\), expected \(3, any\)"),
        ("residuals", (5, 1), r"shape \(5, 1\), expected \(5\)"),
        ("scores-val", (3, 5), r"shape \(3, 5\), expected \(5, 3\)"),
    ],
)
def test_files_that_do_not_fit_the_others_are_refused(name, shape, says, files):
    folder, _ = files
    artifacts.save_array(folder / f"{name}.npy", np.ones(shape, np.float32))
    with pytest.raises(UserError, match=says) as caught:
        method_inputs.load(files_in(folder, "features", "residuals", "scores_val"), "val", AXES, {})
    assert f"{name}.npy" in str(caught.value)


@pytest.fixture
def by_timestep(files, tmp_path):
    """Files of two timesteps: features of five examples and three queries, and residuals."""
    folder, _ = files
    for name, shape in {
        "train": (2, 5, 7),
        "val": (2, 3, 7),
        "gen": (2, 3, 7),
        "r": (2, 5),
    }.items():
        artifacts.save_array(folder / "apart" / f"{name}.npy", np.ones(shape, np.float32))
    apart = {"timesteps": folder / "apart", "residuals_by_timestep": folder / "apart/r.npy"}
    return dataclasses.replace(files_in(folder), **apart)


def test_all_kinds_share_the_kernels_of_features_by_timestep(by_timestep):
    settings = {"kinds": ["val", "gen"], "axes": AXES, "options": {}}
    inputs = method_inputs.load_all(by_timestep, settings)
    assert list(inputs) == ["val", "gen"]
    assert inputs["val"].spectrum is inputs["gen"].spectrum
    for kind, one in inputs.items():
        assert (one.query_timesteps.shape, one.residuals.shape) == ((2, 3, 7), (2, 5))
        assert one.axes == (*AXES, "methods", kind)


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("train", (2, 4, 7), r"shape \(2, 4, 7\), expected \(any, 5, any\)"),
        ("val", (3, 3, 7), r"shape \(3, 3, 7\), expected \(2, 3, 7\)"),
        ("val", (2, 3, 6), r"shape \(2, 3, 6\), expected \(2, 3, 7\)"),
        ("r", (1, 5), r"shape \(1, 5\), expected \(2, 5\)"),
    ],
)
def test_timesteps_that_do_not_fit_are_refused(name, shape, says, by_timestep):
    artifacts.save_array(by_timestep.timesteps / f"{name}.npy", np.ones(shape, np.float32))
    settings = {"kinds": ["val"], "axes": AXES, "options": {}}
    with pytest.raises(UserError, match=says) as caught:
        method_inputs.load_all(by_timestep, settings)
    assert f"{name}.npy" in str(caught.value)


def test_a_missing_file_is_named(files):
    folder, _ = files
    (folder / "q" / "gen_labels.npy").unlink()
    method_inputs.load(files_in(folder), "val", AXES, {})
    with pytest.raises(UserError, match=r"gen_labels\.npy is missing"):
        method_inputs.load(files_in(folder), "gen", AXES, {})
