"""Networks that the rules know: they pass, and the rules have the gradients of autograd."""

import numpy as np
import pytest
import torch
from torch import nn

from dasbench.errors import UserError
from dasbench.gradients import selection
from dasbench.gradients.kronecker import Kronecker
from dasbench.gradients.unlearning import Unlearning
from guarded import (
    PROCESS,
    SETTINGS,
    SHAPE,
    SIDE,
    C,
    check,
    gradients_without_rules,
    network_of,
    through,
)


class Named(nn.GroupNorm):
    """A subclass that computes what its base class does."""


def four_axes():
    """Linear on [n, a, S, d]."""

    def function(self, x, t):
        return self.layer(x.unflatten(2, (2, 3))).tanh().flatten(2, 3)

    torch.manual_seed(0)
    return network_of(function, layer=nn.Linear(SIDE, SIDE))


def partly_trained():
    network = through(nn.Conv2d(C, C, 3, padding=1))
    network.layer.bias.requires_grad_(False)
    network.first.requires_grad_(False)
    return network


def with_random_frequencies():
    """As a Fourier embedding of diffusers: a parameter that is not trained, and a buffer."""

    class Frequencies(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5), requires_grad=False)
            self.register_buffer("scale", torch.tensor(2.0))

        def forward(self, t):
            return (t[:, None] * self.weight * self.scale).sin()

    def function(self, x, t):
        return x * self.layer(self.frequencies(t)).tanh()[:, :, None, None]

    torch.manual_seed(0)
    return network_of(function, frequencies=Frequencies(), layer=nn.Linear(5, C))


def sparse_table():
    torch.manual_seed(0)
    return network_of(
        lambda self, x, t: x * self.layer(t).sin()[:, :, None, None],
        layer=nn.Embedding(100, C, sparse=True),
    )


def input_from_a_hook():
    network = through(nn.Linear(SIDE, SIDE))
    network.layer.register_forward_pre_hook(lambda m, inputs: (inputs[0] * 2,))
    return network


def no_gradient_at_all():
    """The layer's output does not reach the prediction: its gradient is zero."""
    network = through(nn.Linear(SIDE, SIDE))
    network.function = lambda self, x, t: self.first(x) + 0 * self.layer(x)
    return network


KNOWN_NETWORKS = {
    "a subclass that changes nothing": lambda: through(Named(2, C)),
    "groups, circular": lambda: through(
        nn.Conv2d(C, C, 3, padding=1, padding_mode="circular", groups=2)
    ),
    "four axes": four_axes,
    "partly trained": partly_trained,
    "random frequencies": with_random_frequencies,
    "a sparse table": sparse_table,
    "an input that a hook changes": input_from_a_hook,
    "no gradient": no_gradient_at_all,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("consumer", ["features", "matrices"])
@pytest.mark.parametrize("build", KNOWN_NETWORKS.values(), ids=KNOWN_NETWORKS)
def test_what_the_rules_know_passes(build, consumer, dtype):
    if build is KNOWN_NETWORKS["a subclass that changes nothing"] and consumer == "matrices":
        pytest.skip("norms have no curvature")
    if build is no_gradient_at_all and consumer == "features":  # a curvature takes it
        with pytest.raises(selection.LayerError, match="is zero for every image and timestep"):
            check(build().to(dtype), consumer)
        return
    check(build().to(dtype), consumer)


@pytest.mark.parametrize(
    "name", ["four axes", "partly trained", "random frequencies", "an input that a hook changes"]
)
def test_gradients_by_rules_are_those_of_trained_parameters_alone(name):
    """Image by image in float64, against autograd: all numbers, and the exact norm."""
    network = KNOWN_NETWORKS[name]()
    gradients_without_rules(network)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(3, *SHAPE, generator=rng, dtype=torch.float64)
    t, target = torch.tensor([3, 50, 90]), x.sin()
    made = Kronecker(network, "all", 10**6, ("tests", 0), exact_norms=True)
    trained = [p for p in network.parameters() if p.requires_grad]
    assert made.width == sum(p.numel() for p in trained)
    loss = lambda wanted, out: (wanted - out).square().flatten(1).mean(1)  # noqa: E731
    blocks = made.gradients(x, t, target, [loss])[0]
    for i in range(3):
        out = network(x[i : i + 1], t[i : i + 1]).sample
        expected = torch.autograd.grad(loss(target[i : i + 1], out).sum(), trained)
        norm = sum(g.square().sum() for g in expected)
        torch.testing.assert_close(made.squares[0][i], norm, rtol=1e-10, atol=0)
        # identities on both sides would only permute the numbers; others are orthogonal
        torch.testing.assert_close(blocks[i].square().sum(), norm, rtol=1e-10, atol=0)


def test_a_step_leaves_what_is_not_trained():
    network = partly_trained()
    weights = {"steps": [0.1], "loss_timesteps": 2}
    images = np.random.default_rng(0).uniform(-1, 1, (3, *SHAPE))
    made = Unlearning(network, PROCESS, {**SETTINGS, **weights}, ("t", 0)).fit(images, range(3))
    list(made.scores(images[:1], "val"))
    for part in ("first.weight", "first.bias", "layer.bias"):
        assert torch.equal(made.moved.get_parameter(part), network.get_parameter(part)), part
    moved = made.moved.layer.weight
    assert not torch.equal(moved, network.layer.weight)


def test_a_bias_without_its_weight_is_refused():
    network = through(nn.Conv2d(C, C, 1))
    network.layer.weight.requires_grad_(False)
    with pytest.raises(UserError, match=r"layer\.bias without the weight of layer, .* not trained"):
        check(network, "features")
    gradients_without_rules(network)
