"""Layers of modern transformers: exact rules, or left out by a rule that says so."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.models.normalization import AdaLayerNorm, FP32LayerNorm, RMSNorm
from torch import nn

from dasbench.diffusion.process import Flow
from dasbench.errors import Note
from dasbench.gradients import features, guard, layers, selection
from dasbench.gradients.selection import LayerError
from tiny import AXES

SHAPE = (2, 4, 4)
FEATURES = {
    "readout": "loss",
    "normalise": False,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 10**5,
    "projection": "kronecker",
}
IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, *SHAPE)).astype(np.float32)


class Tokens(nn.Module):
    """A network of tokens [n, 16, 6] with one layer of interest between two linear layers."""

    def __init__(self, middle):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = nn.Linear(2, 6), middle, nn.Linear(6, 2)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def forward(self, x, time):
        tokens = self.first(x.flatten(2).transpose(1, 2)) + time[:, None, None] / 1000
        out = self.last(torch.tanh(self.middle(tokens)))
        return SimpleNamespace(sample=out.transpose(1, 2).reshape(x.shape))


class Heads(nn.Module):
    """A norm of each head's part of a token, as attention has it for queries and keys."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, tokens):
        heads = tokens.unflatten(2, (2, 3)).transpose(1, 2)
        return self.norm(heads).transpose(1, 2).flatten(2)


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(2, 6))

    def forward(self, tokens):
        return tokens * (1 + self.scale_shift_table[0]) + self.scale_shift_table[1]


class Volume(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(6, 6, 1)

    def forward(self, tokens):
        volume = tokens.transpose(1, 2).reshape(len(tokens), 6, 1, 4, 4)
        return self.conv(volume).flatten(2).transpose(1, 2)


class Adaptive(nn.Module):
    """Diffusers' AdaLayerNorm: a linear layer of the time embedding and a norm without weights."""

    def __init__(self):
        super().__init__()
        self.norm = AdaLayerNorm(6, output_dim=12, chunk_dim=1)

    def forward(self, tokens):
        return self.norm(tokens, temb=tokens.mean(1))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, tokens):
        return self.inner(torch.tanh(self.inner(tokens)))


def process():
    return Flow(FlowMatchEulerDiscreteScheduler())


def extracted(network, **changes):
    extractor = features.Extractor(network, process(), {**FEATURES, **changes}, AXES)
    return extractor(IMAGES, range(5), "train")[0].astype(np.float64)


EXACT = [
    RMSNorm(6, eps=1e-5),
    RMSNorm(6, eps=1e-5, bias=True),
    nn.RMSNorm(6),
    nn.RMSNorm((16, 6), eps=1e-3),
    FP32LayerNorm(6),
    Heads(RMSNorm(3, eps=1e-6)),
    Heads(nn.RMSNorm(3)),
    Adaptive(),
    Twice(),
]


@pytest.mark.parametrize("middle", EXACT, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("norms", ["exact", "projected"])
def test_rules_are_exact(middle, norms):
    network = Tokens(middle)
    fast = extracted(network, parameters="all", norms=norms)
    slow = extracted(network, parameters="all", projection="none")
    np.testing.assert_allclose(fast @ fast.T, slow @ slow.T, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("middle", [Table(), Volume()], ids=["table", "volume"])
def test_weights_leave_out_tables_and_volumes_and_say_how_much(middle):
    network = Tokens(middle)
    with pytest.raises(LayerError, match="has no rule for middle"):
        extracted(network, parameters="all")
    with pytest.warns(Note, match=r"leaves out middle\.\S+ and \d other .* hold \d+\.\d\d% of"):
        fast = extracted(network, parameters="weights")
    slow = extracted(network, parameters="weights", projection="none")
    assert slow.shape[1] == sum(p.numel() for n, p in network.named_parameters() if "mid" not in n)
    np.testing.assert_allclose(fast @ fast.T, slow @ slow.T, rtol=1e-3, atol=1e-6)


def test_the_share_is_that_of_autograd():
    network = Tokens(Table())
    names = selection.left_out(network, "weights")
    assert names == ["middle.scale_shift_table"]
    assert selection.left_out(network, "all") == []
    found = guard.share(network, names, process(), SHAPE)
    inside = whole = 0.0
    for batch in guard.batches(network, process(), SHAPE, None):
        for i in range(2):
            network.zero_grad()
            out = network(batch.x_t[[i]], batch.time[[i]]).sample
            (out - batch.target[[i]]).square().mean().backward()
            for name, p in network.named_parameters():
                square = p.grad.square().sum().item()
                whole += square
                inside += square if name in names else 0
    assert found == pytest.approx(inside / whole, rel=1e-4)
    assert 0 < found < 1


def test_a_layer_whose_gradients_are_zero_is_an_error():
    network = Tokens(nn.Linear(6, 6))
    with torch.no_grad():
        network.last.weight.zero_()
    with pytest.raises(LayerError, match="the gradient of first is zero for every image"):
        extracted(network, parameters="all")


def test_other_own_parameters_are_still_refused():
    """A layer that has a rule, and a parameter besides, is no bare table."""

    class Scaled(nn.Linear):
        def __init__(self):
            super().__init__(6, 6)
            self.scale = nn.Parameter(torch.ones(6))

        def forward(self, x):
            return super().forward(x) * self.scale

    with pytest.raises(LayerError, match="no rule for middle"):
        extracted(Tokens(Scaled()), parameters="weights")
    assert not issubclass(Scaled, layers.Layer)
