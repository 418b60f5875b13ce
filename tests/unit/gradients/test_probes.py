"""Probes: fixed directions of the prediction, their features side by side."""

import numpy as np
import pytest
import torch

import oracle
from dasbench.errors import UserError
from dasbench.gradients import features, probes
from tiny import AXES, SHAPE

COUNTS = {"constant": 1, "rademacher": 2, "cosine": 3}
FORM = {
    "readout": "probe",
    "probes": COUNTS,
    "normalise": True,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 60,
    "projection": "none",
}
NAMES = [(kind, k) for kind in probes.KINDS for k in range(COUNTS[kind])]


@pytest.mark.parametrize(("kind", "number"), NAMES)
def test_a_probe_has_mean_square_one_and_is_the_same_for_everybody(kind, number):
    v = probes.probe(kind, number, SHAPE, AXES)
    assert v.shape == SHAPE
    assert v.dtype == np.float32
    assert np.square(v, dtype=np.float64).mean() == pytest.approx(1)
    probes.probe.cache_clear()
    np.testing.assert_array_equal(v, probes.probe(kind, number, SHAPE, AXES))


def test_cosines_are_orthogonal_and_begin_with_the_lowest_frequencies():
    h, w = SHAPE[1:]
    waves = np.stack([probes.probe("cosine", k, SHAPE, AXES)[0] for k in range(h * w - 1)])
    gram = np.einsum("ahw,bhw->ab", waves, waves, dtype=np.float64) / (h * w)
    np.testing.assert_allclose(gram, np.eye(h * w - 1), atol=1e-6)
    assert np.ptp(waves[0], axis=0).max() < 1e-6  # frequency (0, 1) varies along the width alone
    assert np.ptp(waves[1], axis=1).max() < 1e-6  # then (1, 0)
    np.testing.assert_array_equal(*probes.probe("cosine", 2, SHAPE, AXES))  # equal in each channel
    with pytest.raises(
        UserError, match="cosine asks for 24 or more, images of 4 x 6 pixels have 23"
    ):
        probes.probe("cosine", h * w - 1, SHAPE, AXES)


def test_signs_differ_from_probe_to_probe_and_from_seed_to_seed():
    drawn = [
        probes.probe("rademacher", k, SHAPE, axes) for axes in (AXES, ("other", 0)) for k in (0, 1)
    ]
    assert all(set(np.unique(v)) == {-1, 1} for v in drawn)
    for i, v in enumerate(drawn):
        assert all((v != other).any() for other in drawn[i + 1 :])


def test_the_constant_probe_is_the_mean_readout(tiny, features64):
    args = (tiny.unet, tiny.process, tiny.images["train"], tiny.ids["train"], "train")
    mean = features64(*args, {**FORM, "readout": "mean"}, AXES)
    constant = features64(*args, {**FORM, "probes": {"constant": 1}}, AXES)
    np.testing.assert_allclose(constant, mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("noise", ["keyed", "common"])
def test_features_are_those_of_each_probe_side_by_side(noise, normalise, tiny, features64):
    form = {**FORM, "noise": noise, "normalise": normalise}
    args = (tiny.images["val"], tiny.ids["val"], "val")
    ours = features64(tiny.unet, tiny.process, *args, form, AXES)
    drawn = tiny.noise("features", noise)
    theirs = [
        oracle.features(
            *(tiny.model, tiny.images["val"], "val", drawn, [250, 750], 1, "probe", normalise),
            tiny.abar,
            v=probes.probe(*name, SHAPE, AXES),
        )
        for name in NAMES
    ]
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, np.hstack(theirs), rtol=1e-8, atol=1e-10 * scale)


def test_the_kernel_is_the_sum_of_the_probes_kernels(tiny, features64):
    args = (tiny.unet, tiny.process, tiny.images["train"], tiny.ids["train"], "train")
    joined = features64(*args, FORM, AXES)
    grams = []
    for name in NAMES:
        phi = np.stack(np.split(joined, len(NAMES), axis=1))[NAMES.index(name)]
        grams.append(phi @ phi.T)
    np.testing.assert_allclose(joined @ joined.T, sum(grams), rtol=1e-10)


@pytest.mark.parametrize("projection", ["kronecker", "rademacher"])
def test_probes_share_the_dimensions(projection, tiny):
    """P is the width of the whole set, and the kernel is near the unprojected one."""
    form = {**FORM, "projection": projection, "dimensions": 6 * 400, "oversampling": 2}
    args = (tiny.unet.float(), tiny.process, tiny.images["train"], tiny.ids["train"], "train")
    try:
        phi = features.compute(*args, form, AXES)
        whole = features.compute(*args, FORM, AXES)
    finally:
        tiny.unet.double()
    assert phi.shape == (5, 6 * 400)
    expected = whole @ whole.T
    assert np.abs(phi @ phi.T - expected).max() < 0.15 * np.abs(expected).max()


def test_one_forward_pass_serves_all_probes(tiny):
    """m probes take a forward pass and m backward passes: (1 + m) / 2 of a single readout."""
    passes = []
    handle = tiny.unet.register_forward_hook(lambda *_: passes.append(1))
    try:
        counts = {}
        for m, form in ((1, {**FORM, "readout": "mean"}), (6, FORM)):
            settings = {**form, "projection": "kronecker", "dimensions": 600}
            extractor = features.Extractor(tiny.unet, tiny.process, settings, AXES)
            passes.clear()
            extractor(tiny.images["val"], tiny.ids["val"], "val")
            counts[m] = len(passes)
    finally:
        handle.remove()
    assert counts[6] == counts[1] > 0


def test_no_probe_is_refused():
    for counts in ({}, {"constant": 0}, {"sobol": 1}):
        with pytest.raises(ValueError, match="probes must be numbers of"):
            probes.readouts(counts, AXES)


def test_a_readout_is_the_inner_product_over_the_number_of_pixels():
    out = torch.randn(3, *SHAPE, dtype=torch.float64)
    for name, readout in zip(NAMES, probes.readouts(COUNTS, AXES), strict=True):
        v = torch.from_numpy(probes.probe(*name, SHAPE, AXES)).double()
        expected = torch.stack([(v * image).sum() / v.numel() for image in out])
        torch.testing.assert_close(readout(torch.zeros_like(out), out), expected)
