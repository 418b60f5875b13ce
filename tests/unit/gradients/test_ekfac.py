"""EK-FAC against loops over images, timesteps, places and parameters, in float64."""

import numpy as np
import pytest
import torch
from torch import nn

import curvature_problem
import oracle_curvature
from curvature_problem import AXES, IDS, SETTINGS, Net, curvature_samples, samples
from dasbench.attribution.method_inputs import Computed
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import product
from dasbench.errors import UserError
from dasbench.gradients import ekfac, recorder
from dasbench.registry import METHODS


@pytest.fixture(scope="module")
def problem():
    return curvature_problem.make()


@pytest.mark.parametrize("batch", [3, 128])
@pytest.mark.parametrize("relative", [1e-4, 0.1])
@pytest.mark.parametrize("policy", ["keyed", "common"])
def test_scores_are_those_of_the_loops(batch, relative, policy, problem):
    unet, process, images = problem
    curvature = ekfac.Ekfac(unet, process, {**SETTINGS, "noise": policy}, AXES, batch)
    curvature.fit(images["train"], IDS["train"])
    queries = curvature.features(images["val"], IDS["val"], "val")
    dampings = [relative, 1.0]
    blocks = list(curvature.scores(images["train"], IDS["train"], queries, dampings))
    found = np.concatenate([block for _, block in blocks], 1)
    assert found.dtype == np.float32
    train = [samples(problem, "train", i, policy=policy) for i in range(4)]
    val = [samples(problem, "val", i, policy=policy) for i in range(3)]
    expected = oracle_curvature.ekfac(
        unet, curvature_samples(problem, policy), train, val, relative
    )
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert np.abs(found[0] / found[1] - 1).max() > 0.1


def test_recorded_gradients_are_those_of_every_parameter(problem):
    unet = problem[0]
    watched = recorder.Recorder(unet, "weights")
    assert watched.size == sum(
        p.numel() for name, p in unet.named_parameters() if not name.startswith("norm")
    )
    several = [samples(problem, "train", i)[k] for i in range(4) for k in range(4)]
    x_t, wanted = (torch.stack([s[k] for s in several]) for k in (0, 2))
    found = watched.losses(x_t, torch.tensor([s[1] for s in several]), wanted)
    for k, one in enumerate(several):
        expected = oracle_curvature.loss_gradient(unet, [one])
        for name, g in expected.items():
            np.testing.assert_allclose(found[name][k, 0], g, rtol=1e-9, atol=1e-14)
    assert all(p.requires_grad and p.grad is None for p in unet.parameters())


def test_a_step_lands_on_the_parameters_it_belongs_to(problem):
    torch.manual_seed(3)
    unet = Net().double()
    before = {name: p.detach().clone() for name, p in unet.named_parameters()}
    x_t, t, wanted = samples(problem, "train", 0)[0]
    g = recorder.Recorder(unet, "all").losses(x_t[None], torch.tensor([t]), wanted[None])
    for layer in recorder.Recorder(unet, "all").layers:
        recorder.add_step(layer, g[layer.name][0])
    moved = {name: p.detach() - before[name] for name, p in unet.named_parameters()}
    for name, p in before.items():
        unet.get_parameter(name).data.copy_(p)
    ((unet(x_t[None], torch.tensor([t])).sample - wanted) ** 2).mean().backward()
    for name, p in unet.named_parameters():
        expected = torch.zeros_like(p) if name.startswith("norm") else p.grad
        torch.testing.assert_close(moved[name], expected, rtol=1e-6, atol=1e-12)


def test_sampled_targets_have_the_gauss_newton_matrix_in_the_mean(problem):
    """Trace of F: E ||G||^2 of sampled gradients is (2/D) ||J||^2, with J by differences."""
    unet, process, images = problem
    settings = {**SETTINGS, "timesteps": 2, "draws": 60}
    curvature = ekfac.Ekfac(unet, process, settings, AXES).fit(images["train"], IDS["train"])
    found = sum(float(f.eigenvalues.sum()) for f in curvature.factors.values())
    exact = []
    for i in range(4):
        for x_t, t, _ in samples(problem, "train", i):
            out = oracle_curvature.predict(unet, x_t, t).flatten()
            rows = [oracle_curvature.gradient_matrices(unet, o) for o in out]
            exact.append(2 / 48 * sum((g**2).sum() for row in rows for g in row.values()))
    assert found == pytest.approx(np.mean(exact), rel=0.1)


def test_norm_layers_alone_are_refused():
    with pytest.raises(UserError, match="norm layers alone"):
        recorder.Recorder(nn.Sequential(nn.GroupNorm(1, 4)), "all")


@pytest.mark.parametrize("name", ["ekfac_if", "unlearning"])
def test_a_method_reads_what_its_rule_computed(name):
    rng = np.random.default_rng(0)
    computed = Computed(np.array([0.1, 0.2, 1.0]), rng.random((3, 5, 4), np.float32))
    images, queries = np.zeros((5, 1, 1, 1)), np.zeros((4, 1, 1, 1))
    given = (images, None, None, queries, None, None, None, None, None, ())
    inputs = interface.Inputs(*given, computed=computed)
    (parameter,) = interface.grid(METHODS[name], [0.1])[0]
    points = product({parameter: [0.1, 0.2, 1.0]})
    found = list(interface.path(METHODS[name], inputs, points))
    assert [point for point, _ in found] == points
    for (_, scores), expected in zip(found, computed.scores, strict=True):
        np.testing.assert_array_equal(scores, expected)
        assert scores.dtype == np.float64
    ((_, scores),) = interface.path(METHODS[name], inputs.about([3, 1]), points[1:2])
    np.testing.assert_array_equal(scores, computed.scores[1][:, [3, 1]])
    with pytest.raises(ValueError, match=rf"{parameter} 0\.3 is none of those computed"):
        list(interface.path(METHODS[name], inputs, product({parameter: [0.3]})))
