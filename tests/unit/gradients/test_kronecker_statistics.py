"""Inner products of two-sided projections: right on average, and as disturbed as stated."""

import numpy as np
import pytest
import torch
from torch import nn

import explicit
from dasbench.gradients.features import READOUTS
from dasbench.gradients.kronecker import Kronecker
from explicit import inputs


def net():
    """Some 850 parameters, quick enough for many seeds; no side meets its limit."""
    torch.manual_seed(0)

    def function(self, x, t):
        hidden = self.first(x).tanh().flatten(2).transpose(1, 2)
        hidden = self.last(self.middle(self.wide(hidden).tanh()).tanh())
        return hidden.transpose(1, 2).reshape(x.shape)

    return explicit.Denoiser(
        function,
        first=nn.Conv2d(1, 8, 3, padding=1),
        wide=nn.Linear(8, 24),
        middle=nn.Linear(24, 20),
        last=nn.Linear(20, 1),
    ).double()


def grams(network, dimensions, oversampling, seeds):
    x, t, wanted = inputs(4, seed=3)
    x[1] = x[0] + 0.3 * x[1]  # some inner products are large and some are small
    t[:] = 700
    found = []
    for seed in range(seeds):
        made = Kronecker(network, "weights", dimensions, ("s", seed), oversampling=oversampling)
        phi = made(made.gradients(x, t, wanted, [READOUTS["mean"]])[0])
        found.append((phi @ phi.T).numpy())
    exact = Kronecker(network, "weights", 10**6, ("s", 0), oversampling=oversampling)
    whole = exact.gradients(x, t, wanted, [READOUTS["mean"]])[0]
    truth = explicit.gradients(network, exact.blocks, x, t, wanted, READOUTS["mean"])
    flat = torch.cat([g.flatten(1) for g in truth.values()], 1)
    np.testing.assert_allclose(exact(whole) @ exact(whole).T, flat @ flat.T, rtol=1e-10)
    assert exact.width == flat.shape[1]
    return np.stack(found), (flat @ flat.T).numpy()


@pytest.mark.parametrize("oversampling", [1, 4])
def test_inner_products_are_right_on_average_and_converge(oversampling):
    network, spread = net(), []
    for dimensions in (30, 120, 480):
        found, truth = grams(network, dimensions, oversampling, 100)
        error = found.std(0) / len(found) ** 0.5
        assert (np.abs(found.mean(0) - truth) < 5 * error).all()
        spread.append(np.sqrt(np.square(found - truth).mean()) / np.abs(truth).max())
    # four times P: two sides that share it give the error a factor of 2^1/2 to 2, one of them
    # whole, or the fold alone, a factor of 2
    assert spread[0] > 1.4 * spread[1] > 1.4**2 * spread[2]
    assert spread[2] < 0.15


@pytest.mark.parametrize("dimensions", [12, 60, 200])
def test_one_layer_disturbs_squared_lengths_as_stated(dimensions):
    """A single place: G is a product of two vectors, (1 + v_in)(1 + v_out) is exact."""
    torch.manual_seed(0)
    network = explicit.Denoiser(
        lambda self, x, t: self.layer(x[:, 0, 0]).sin(), layer=nn.Linear(8, 40)
    ).double()
    x, t, _ = inputs(2)
    found, readouts, repeats = [], [READOUTS["mean"]], 800
    for seed in range(repeats):
        made = Kronecker(network, "all", dimensions, ("l", seed), exact_norms=True)
        found.append(made.gradients(x, t, x, readouts)[0].square().sum(1))
    truth = made.squares[0]
    k_in = made.blocks["layer"].inputs.shape[1]
    ratio = (torch.stack(found) / truth).numpy()
    v = explicit.disturbance(k_in, 9, made.width // k_in, 40) - 1
    for one in ratio.T:
        assert abs(one.mean() - 1) < 5 * (v / repeats) ** 0.5
        # its own error, from the fourth moment that the sample has
        fourth = ((one - one.mean()) ** 4).mean()
        assert abs(one.var() - v) < 5 * ((fourth - v**2) / repeats) ** 0.5


def test_the_fold_keeps_inner_products_on_average():
    """The fold alone: the blocks stay what they are, its seeds differ."""
    network = net()
    folds = [Kronecker(network, "weights", 60, ("f", s), oversampling=4) for s in range(300)]
    width = min(f.width for f in folds)
    assert width > 200
    blocks = torch.randn(3, folds[0].width, dtype=torch.float64)
    assert all(f.width == folds[0].width for f in folds)
    found = np.stack([(f(blocks) @ f(blocks).T).numpy() for f in folds])
    truth = (blocks @ blocks.T).numpy()
    assert (np.abs(found.mean(0) - truth) < 5 * found.std(0) / 300**0.5).all()
    # random signs, at most 4 terms: variance below 2 |g|^2 |h|^2 / 60 for each inner product
    lengths = np.diag(truth)
    assert (found.var(0) < 2 * 1.5 * np.outer(lengths, lengths) / 60).all()
