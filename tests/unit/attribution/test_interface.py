"""Every registered method in blocks of queries, with and without a decomposition made before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dasbench.attribution import decomposition, method_inputs, transforms
from dasbench.attribution import spectrum as kernel
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.input_files import Files
from dasbench.attribution.method_inputs import Computed
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point
from dasbench.attribution.spectrum import Spectrum
from dasbench.core import artifacts, blocks
from dasbench.errors import UserError
from dasbench.experiments import feature_sets
from dasbench.registry import METHODS
from stepwise import every_leverage, every_part
from tiny import AXES

N, Q, DAMPINGS = 9, 7, [1e-3, 0.1, 1.0]
M = 6
ONE_QUERY = 8 * N  # bytes of its scores
# beyond rounding of a float64 product, nothing depends on the block
TOLERANCE = 1e-12


# by timestep the decomposition is always made beforehand
SHARED = [n for n, o in METHODS.items() if "leverage" in o and o["kernel"] == "averaged"]


def make(options, p):
    """Random inputs of a method, features [9, p]."""
    rng = np.random.default_rng(p)
    phi, phi_q = (rng.standard_normal((n, p)).astype("f4") for n in (N, Q))
    own = isinstance(options.get("features"), dict) or options.get("features") == "embeddings"
    apart = feature_sets.keeps_timesteps(options)
    by_timestep = rng.standard_normal((2, N, p)), rng.standard_normal((2, Q, p))
    losses = [rng.standard_normal((n, p // 4)).astype("f4") for n in (N, Q)]  # of four probes
    return interface.Inputs(
        train_images=rng.integers(0, 256, (N, 4, 6, 2)).astype(np.uint8),
        train_labels=rng.integers(0, 3, N),
        train_ids=np.arange(N),
        query_images=rng.uniform(-1, 1, (Q, 2, 4, 6)).astype("f4"),
        query_labels=rng.integers(0, 3, Q),
        train_features=phi if own and not apart else None,
        query_features=phi_q if own and not apart else None,
        spectrum=Spectra(by_timestep[0]) if apart else None,
        query_timesteps=by_timestep[1] if apart else None,
        residuals=rng.random(N).astype("f4"),
        scores=rng.standard_normal((N, Q)).astype("f4"),
        axes=(*AXES, "methods", "val"),
        tuning_masks=rng.integers(0, 2, (M, N)).astype(bool),
        tuning_outputs=rng.standard_normal((M, Q)),
        others=(tuple(losses),) if "effect" in options else (),
        computed=Computed(np.array(options.get("steps", DAMPINGS)), rng.random((3, N, Q), "f4")),
    )


def close(a, b):
    assert list(a) == list(b)
    for damping, scores in b.items():
        assert a[damping].dtype == np.float64
        np.testing.assert_allclose(a[damping], scores, atol=TOLERANCE * np.abs(scores).max())


@pytest.mark.parametrize("p", [4, 12], ids=["primal", "dual"])
@pytest.mark.parametrize("name", METHODS)
def test_scores_of_a_query_do_not_depend_on_the_block(name, p):
    options = METHODS[name]
    inputs = make(options, p)
    points = interface.grid(options, DAMPINGS)
    whole = every_part(options, inputs, points)
    for size in (1, 3, Q):
        close(every_part(options, inputs, points, memory=size * ONE_QUERY), whole)
    for queries in ([2, 3, 5], [6, 0]):
        some = every_part(options, inputs, points, queries, 2 * ONE_QUERY)
        close(some, {d: scores[..., queries] for d, scores in whole.items()})
    # a part of a part
    part = inputs.about([6, 2, 4]).about(slice(1, 3))
    assert (part.positions.tolist(), part.asked, part.shape) == ([2, 4], Q, (N, 2))
    close(
        every_part(options, part, points),
        {d: scores[..., [2, 4]] for d, scores in whole.items()},
    )


@pytest.mark.parametrize("p", [4, 12], ids=["primal", "dual"])
@pytest.mark.parametrize("name", SHARED)
def test_a_shared_decomposition_gives_the_same_numbers(name, p, monkeypatch):
    options = METHODS[name]
    alone = make(options, p)
    shared = replace(alone, spectrum=Spectrum(alone.train_features))
    expected = every_part(options, alone, interface.grid(options, DAMPINGS))
    h = every_leverage(options, alone, Point(damping=0.01))
    monkeypatch.setattr("dasbench.attribution.spectrum.decompose", None)  # calling it would fail
    found = every_part(options, shared, interface.grid(options, DAMPINGS))
    for point in interface.grid(options, DAMPINGS):
        np.testing.assert_array_equal(found[point], expected[point])
    np.testing.assert_array_equal(every_leverage(options, shared, Point(damping=0.01)), h)


def test_a_kernel_is_named_by_the_methods_that_need_one():
    for options in METHODS.values():
        module = options["module"].rpartition(".")[2]
        needs = module in ("kernel_methods", "vector_residual")
        assert options.get("kernel") in (("averaged", "per_t") if needs else (None,))


def test_the_spectrum_comes_from_the_named_folder(tmp_path, monkeypatch):
    phi = make(METHODS["das"], 12).train_features
    artifacts.save_array(tmp_path / "train.npy", phi)
    made = decomposition.decompose(phi)
    decomposition.save(tmp_path / "spectrum", made)
    files = Files(Path("e"), Path("q"), features=(tmp_path,))
    assert method_inputs.load_spectrum(files) is None
    monkeypatch.setattr(kernel, "decompose", None)
    spectrum = method_inputs.load_spectrum(replace(files, spectrum=tmp_path / "spectrum"))
    np.testing.assert_array_equal(spectrum.eigenvalues, made.eigenvalues)
    np.testing.assert_array_equal(spectrum.left, made.eigenvectors)
    assert isinstance(spectrum.train, np.memmap)


def test_features_are_mapped_once_and_must_fit_the_examples(tmp_path):
    made = make(METHODS["das"], 12)
    artifacts.save_examples(
        tmp_path / "e.npz", made.train_images, made.train_labels, made.train_ids
    )
    for kind in ("val", "gen"):
        artifacts.save_array(tmp_path / f"q/{kind}.npy", made.query_images)
        artifacts.save_array(tmp_path / f"q/{kind}_labels.npy", made.query_labels)
        artifacts.save_array(tmp_path / f"f/{kind}.npy", made.query_features)
    artifacts.save_array(tmp_path / "f/train.npy", made.train_features)
    decomposition.save(tmp_path / "f/spectrum", decomposition.decompose(made.train_features))
    files = Files(tmp_path / "e.npz", tmp_path / "q", (tmp_path / "f",), tmp_path / "f/spectrum")
    spectrum = method_inputs.load_spectrum(files)
    for kind in ("val", "gen"):
        inputs = method_inputs.load(files, kind, AXES, {}, spectrum)
        assert inputs.train_features is inputs.spectrum.train
        np.testing.assert_array_equal(inputs.train_features, made.train_features)
    artifacts.save_array(tmp_path / "f/train.npy", made.train_features[1:])
    decomposition.save(tmp_path / "f/spectrum", decomposition.decompose(made.train_features[1:]))
    with pytest.raises(UserError, match=r"shape \(8, 12\), expected \(9, any\)"):
        method_inputs.load(files, "val", AXES, {}, method_inputs.load_spectrum(files))


@pytest.mark.parametrize("name", ["das", "dtrak", "pixel_cosine", "random", "external"])
@pytest.mark.parametrize("transform", transforms.TRANSFORMS)
def test_scores_are_written_as_they_would_be_whole(name, transform, tmp_path, monkeypatch):
    options, inputs = METHODS[name], make(METHODS[name], 12)
    (point,) = interface.grid(options, [0.01])
    _, whole = next(interface.path(options, inputs, [point]))
    expected = transforms.apply(whole, transform).astype(np.float32)
    for size in (1, 3, Q):
        monkeypatch.setattr(interface.blocks, "__defaults__", (size * ONE_QUERY,))
        request = interface.Request(inputs, [point])
        interface.write_scores(tmp_path, options, {"val": request}, transform)
        found = artifacts.load_array(tmp_path / "val.npy", (N, Q), np.float32)
        # the last bit of float32 may fall either way
        np.testing.assert_allclose(found, expected, atol=2e-7 * np.abs(expected).max())
    artifacts.save_array(tmp_path / "whole.npy", expected)
    assert (tmp_path / "whole.npy").read_bytes() == (tmp_path / "val.npy").read_bytes()


def test_random_scores_are_drawn_in_blocks_of_examples_too(monkeypatch):
    options, inputs = METHODS["random"], make(METHODS["random"], 4)
    _, whole = next(interface.path(options, inputs, interface.grid(options, DAMPINGS)))
    monkeypatch.setattr(blocks.memory_blocks, "__defaults__", (2 * 8 * Q,))
    _, part = next(interface.path(options, inputs.about([4, 1]), interface.grid(options, DAMPINGS)))
    np.testing.assert_array_equal(part, whole[:, [4, 1]])
