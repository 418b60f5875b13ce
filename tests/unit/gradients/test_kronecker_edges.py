"""Layers at the edge of what the two-sided projection knows; each of these went wrong once."""

import re

import pytest
import torch
from torch import nn

import explicit
from dasbench.errors import UserError
from dasbench.gradients.features import READOUTS
from dasbench.gradients.kronecker import Kronecker

T = torch.tensor([3, 0, 7])


def check(network, exact=False, readout="loss"):
    """Blocks, and lengths if asked, are those of explicit gradients."""
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 7, 9, generator=drawn, dtype=torch.float64)
    network = network.double()
    made = Kronecker(network, "all", 10_000, ("t", 0), exact_norms=exact)
    found = made.gradients(x, T, x, [READOUTS[readout]])[0]
    truth = explicit.gradients(network, made.blocks, x, T, x, READOUTS[readout])
    wanted = explicit.blocks(made, truth)
    assert (found - wanted).norm() < 1e-10 * wanted.norm()
    if exact:
        lengths = made.squares[0].sqrt()
        torch.testing.assert_close(lengths, explicit.lengths(truth), rtol=1e-10, atol=0)


def by_time(self, x, t):
    return x * (1 + self.table(t).sin()[:, :, None, None])


def test_exact_norms_of_an_embedding():
    torch.manual_seed(0)
    check(explicit.Denoiser(by_time, table=nn.Embedding(10, 6)), exact=True)


def test_a_padding_index_has_no_gradient():
    torch.manual_seed(0)
    table = nn.Embedding(10, 6, padding_idx=0)
    check(explicit.Denoiser(by_time, table=table), exact=True, readout="square")


def test_a_group_norm_of_vectors():
    torch.manual_seed(0)

    def forward(self, x, t):
        return x * self.norm(x.mean((2, 3)))[:, :, None, None]

    check(explicit.Denoiser(forward, norm=nn.GroupNorm(2, 6)))


def test_the_remedy_of_too_few_dimensions_is_enough():
    parts = {
        "small": nn.LayerNorm(2, bias=False),
        "one": nn.Linear(1000, 1000),
        "two": nn.Linear(1000, 1000),
    }
    network = explicit.Denoiser(lambda self, x, t: x, **parts)
    with pytest.raises(UserError, match=r"too few for small") as told:
        Kronecker(network, "all", 3, ("t", 0))
    enough = int(re.search(r"at least (\d+)", str(told.value))[1])
    assert Kronecker(network, "all", enough, ("t", 0)).dimensions <= enough


def test_tied_weights_are_refused():
    a, b = nn.Conv2d(6, 6, 1, bias=False), nn.Conv2d(6, 6, 1, bias=False)
    b.weight = a.weight
    network = explicit.Denoiser(lambda self, x, t: self.b(self.a(x).sin()), a=a, b=b)
    with pytest.raises(UserError, match=r"b\.weight is the same parameter as a\.weight"):
        Kronecker(network, "all", 10_000, ("t", 0))


def test_squared_norms_are_not_negative():
    """The gradient is zero, a sum of six places that cancel; its length must not be NaN."""
    for seed in range(50):
        torch.manual_seed(seed)
        weights = torch.randn(1, 6, 1)
        weights -= weights.mean()

        def forward(self, x, t, weights=weights):
            return (self.layer(x[:, :1, 0].expand(-1, 6, -1)) * weights)[:, :, None]

        network = explicit.Denoiser(forward, layer=nn.Linear(64, 64, bias=False))
        x = torch.randn(5, 6, 1, 64)
        made = Kronecker(network, "all", 100, ("t", 0), exact_norms=True)
        made.gradients(x, torch.zeros(5, dtype=torch.long), x, [READOUTS["mean"]])
        assert made.squares[0].min() >= 0
