"""The measurement of the damping path times the right things."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import oracle
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import dampings
from dasbench.attribution.spectrum import Spectrum
from dasbench.registry import METHODS

FILE = Path(__file__).parents[3] / "benchmarks" / "damping_path.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("damping_path", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_forms_are_the_same_score(bench):
    """Squared, with residual, without leverage, which the released form has not."""
    inputs = bench.problem(12, 9, 5)
    spectrum = Spectrum(inputs.train_features, inputs.query_features)
    absolute = 0.1 * spectrum.scale
    phi, phi_q = (a.astype(float) for a in (inputs.train_features, inputs.query_features))
    expected = oracle.das(phi, phi_q, absolute, inputs.residuals, leverage=False)
    pair = [
        torch.from_numpy(a)
        for a in (inputs.train_features, inputs.query_features, inputs.residuals)
    ]
    for frugal in (False, True):
        theirs = bench.released(pair[0].T @ pair[0], pair, absolute, frugal).numpy()
        np.testing.assert_allclose(theirs.T, expected, rtol=1e-3, atol=1e-5 * expected.max())
    options = {**METHODS["das"], "leverage": False}
    ((_, ours),) = interface.path(options, inputs, dampings([0.1]))
    np.testing.assert_allclose(ours**2, expected, rtol=1e-7, atol=1e-9 * expected.max())


def test_a_measurement_is_plain_numbers_that_fit_together(bench):
    before = torch.get_num_threads()
    found = bench.measure(threads=1, repeats=2, scale=0.02)
    assert torch.get_num_threads() == before
    assert all(type(value) in (int, float) and np.isfinite(value) for value in found.values())
    assert (found["N"], found["P"], found["Q"], found["dampings"]) == (100, 82, 20, 27)
    run, ours = found["released_seconds"], found["ours_seconds"]
    assert found["speedup_one_run"] == pytest.approx(run / ours)
    assert found["speedup_per_transform"] == pytest.approx(3 * run / ours)
    assert ours == pytest.approx(found["decompose_seconds"] + found["path_seconds"])
    assert found["float64_error_1e-08"] < 1e-6 < found["float32_error_1e-08"]


def test_the_features_are_as_hard_as_those_of_digits(bench):
    values = Spectrum(bench.problem(300, 200, 1).train_features).eigenvalues
    assert values.min() / values.max() < 1e-6
    ratio = np.sort(values)[-2] / values.max()
    assert 5e-4 < ratio < 1e-2
