"""Networks whose gradients the rules would get wrong: right, or refused by the name of the layer.

Every case is tried by both consumers of rules (features; EK-FAC and unlearning). The engine that
needs no rules must have autograd's gradients of every one, image by image, in float64.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from dasbench.diffusion.conditions import Condition
from dasbench.errors import UserError
from dasbench.gradients import guard, selection
from dasbench.gradients.ekfac import Ekfac
from dasbench.gradients.features import Extractor
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


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias)


class StandardisedInside(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean((1, 2, 3), keepdim=True), bias)


class Equalised(nn.Linear):
    def forward(self, x):
        return functional.linear(x, 20 * self.weight, self.bias)


class Computed(nn.Linear):
    """Its weight is a property: what its parameter is called is not what the layer uses."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        weight = self._parameters.pop("weight")
        self.raw = nn.Parameter(weight.detach().clone())

    @property
    def weight(self):
        return 3 * self.raw


class Shadowed(nn.Linear):
    """The parameter is called weight, but the layer uses a property of that name."""

    @property
    def weight(self):
        return 3 * self._parameters["weight"]


class Scaled(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x) * 2


def shadowed():
    layer = nn.Linear(SIDE, SIDE)
    layer.__class__ = Shadowed
    return layer


def replaced():
    layer = nn.Linear(SIDE, SIDE)
    usual = layer.forward
    layer.forward = lambda x: usual(x) * 2
    return layer


def pruned():
    return prune.random_unstructured(nn.Conv2d(C, C, 1), "weight", 0.5)


# layers that do not compute what their base class does, or not from their own parameters
OTHER_LAYERS = {
    "weight standardised": (lambda: Standardised(C, C, 3, padding=1), r"layer\.weight of a Standa"),
    "standardised inside": (
        lambda: StandardisedInside(C, C, 3, padding=1),
        r"whose _conv_forward is not that of Conv2d",
    ),
    "equalised": (lambda: Equalised(SIDE, SIDE), r"layer\.weight of a Equalised, whose forward"),
    "computed": (lambda: Computed(SIDE, SIDE), r"layer\.raw of a Computed, a parameter that Lin"),
    "shadowed": (shadowed, r"whose weight is computed from other parameters"),
    "norm": (lambda: Scaled(SIDE), r"layer\.weight of a Scaled, whose forward is not"),
    "replaced": (replaced, r"layer\.weight, because the forward of its Linear was replaced"),
    "old spectral norm": (
        lambda: spectral_norm(nn.Conv2d(C, C, 1)),
        r"layer\.weight_orig of a Conv2d, a parameter that Conv2d does not have",
    ),
    "old weight norm": (
        lambda: weight_norm(nn.Linear(SIDE, SIDE)),
        r"layer\.weight_g of a Linear, a parameter that Linear does not have",
    ),
    "pruned": (pruned, r"layer\.weight_orig of a Conv2d"),
    "spectral norm": (
        lambda: parametrizations.spectral_norm(nn.Conv2d(C, C, 1)),
        r"layer\.bias, because layer is parametrised",
    ),
    "weight norm, no bias": (
        lambda: parametrizations.weight_norm(nn.Linear(SIDE, SIDE, bias=False)),
        r"layer\.parametrizations\.weight\.original0, because layer is parametrised",
    ),
    "transposed": (lambda: nn.ConvTranspose2d(C, C, 3, padding=1), "of a ConvTranspose2d"),
    "batch norm": (lambda: nn.BatchNorm2d(C), "layer.weight of a BatchNorm2d"),
}


@pytest.mark.parametrize("consumer", ["features", "matrices"])
@pytest.mark.parametrize(("build", "told"), OTHER_LAYERS.values(), ids=OTHER_LAYERS)
def test_a_layer_that_computes_something_else_is_refused_before_work(build, told, consumer):
    network = through(build())
    with pytest.raises(selection.LayerError, match=told) as caught:
        check(network, consumer)
    advice = {"features": "projection: rademacher", "matrices": "leave out the method"}
    assert caught.value.advice.endswith(("it out", "method"))
    assert advice[consumer] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(OTHER_LAYERS) - {"replaced"}))
def test_their_gradients_without_rules_are_right(name):
    gradients_without_rules(through(OTHER_LAYERS[name][0]()))


def test_attention_of_torch_is_refused():
    def function(self, x, t):
        tokens = x.flatten(2).permute(2, 0, 1)  # [S, n, C], the first axis is not that of images
        return self.layer(tokens, tokens, tokens)[0].permute(1, 2, 0).reshape(x.shape)

    network = network_of(function, layer=nn.MultiheadAttention(C, 2))
    for consumer in ("features", "matrices"):
        with pytest.raises(UserError, match=r"layer\.in_proj_weight of a MultiheadAttention"):
            check(network, consumer)


def sequence_first(length):
    def function(self, x, t):
        tokens = x.flatten(1)[:, : length * C].view(len(x), length, C).transpose(0, 1)
        return self.layer(tokens).transpose(0, 1).tanh() * self.out(x).mean()

    modules = {"layer": nn.Linear(C, C), "out": nn.Conv2d(C, C, 1)}
    torch.manual_seed(0)
    return network_of(function, **modules)


def shared_embedding(length):
    def function(self, x, t):
        places = self.layer(torch.arange(length))  # [S, C], the same for every image
        return self.out(x) * places.sum(0)[None, :, None, None].sin()

    torch.manual_seed(0)
    return network_of(function, layer=nn.Embedding(9, C), out=nn.Conv2d(C, C, 1))


def used_twice():
    def function(self, x, t):
        return self.layer(x).sin() + functional.linear(x, self.layer.weight)

    torch.manual_seed(0)
    return network_of(function, layer=nn.Linear(SIDE, SIDE))


def bias_used_elsewhere():
    def function(self, x, t):
        return self.layer(x).sin() * self.layer.bias

    torch.manual_seed(0)
    return network_of(function, layer=nn.Linear(SIDE, SIDE))


def changed_by_a_hook():
    network = through(nn.Linear(SIDE, SIDE))
    network.layer.register_forward_hook(lambda m, i, out: out * 2)
    return network


def mixes_images():
    def function(self, x, t):
        h = self.layer(x)
        return h.sin() - h.mean(0)

    torch.manual_seed(0)
    return network_of(function, layer=nn.Linear(SIDE, SIDE))


def weight_in_a_list():
    """A second module uses the weight without owning it."""
    network = through(nn.Linear(SIDE, SIDE))
    network.borrowed = [network.layer.weight]
    network.function = lambda self, x, t: self.layer(self.first(x)) @ self.borrowed[0].tanh()
    return network


ODD_NETWORKS = {
    "sequence first, as many tokens as images": lambda: sequence_first(2),
    "an embedding of places, as many as images": lambda: shared_embedding(2),
    "a weight that a function uses as well": used_twice,
    "a bias that a function uses as well": bias_used_elsewhere,
    "an output that a hook changes": changed_by_a_hook,
    "images that are mixed": mixes_images,
    "a borrowed weight": weight_in_a_list,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("consumer", ["features", "matrices"])
@pytest.mark.parametrize("build", ODD_NETWORKS.values(), ids=ODD_NETWORKS)
def test_a_network_that_uses_a_layer_oddly_is_stopped_by_name(build, consumer, dtype):
    network = build().to(dtype)
    with pytest.raises(
        UserError, match=r"gradient of layer .* differs from autograd by .*"
    ) as told:
        check(network, consumer)
    assert "projection: rademacher" in str(told.value) or "leave out the method" in str(told.value)


@pytest.mark.parametrize("build", [sequence_first, shared_embedding])
def test_rows_that_are_not_images_are_refused(build):
    for consumer in ("features", "matrices"):
        with pytest.raises(UserError, match=r"layer saw \d rows for 2 images"):
            check(build(5), consumer)


ENGINES = {
    "features": lambda network: Extractor(
        network, PROCESS, {**SETTINGS, "projection": "kronecker"}, ("t", 0)
    )(np.zeros((2, *SHAPE)), range(2), "train"),
    "by timestep": lambda network: Extractor(
        network, PROCESS, {**SETTINGS, "projection": "kronecker"}, ("t", 0)
    ).by_timestep(np.zeros((2, *SHAPE)), range(2), "train"),
    "EK-FAC": lambda network: Ekfac(network, PROCESS, SETTINGS, ("t", 0)).fit(
        np.zeros((2, *SHAPE)), range(2)
    ),
    "unlearning": lambda network: Unlearning(
        network, PROCESS, {**SETTINGS, "steps": [1.0], "loss_timesteps": 2}, ("t", 0)
    ).fit(np.zeros((2, *SHAPE)), range(2)),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_with_rules_is_guarded(engine):
    with pytest.raises(UserError, match=r"gradient of layer by the rules"):
        ENGINES[engine](used_twice())


def test_the_guard_runs_once_for_an_extractor(monkeypatch):
    calls = []
    monkeypatch.setattr(guard, "check", lambda *a, **k: calls.append(a))
    form = {**SETTINGS, "projection": "kronecker"}
    extractor = Extractor(through(nn.Linear(SIDE, SIDE)), PROCESS, form, ("t", 0))
    for split in ("train", "val"):
        extractor(np.zeros((2, *SHAPE)), range(2), split)
    assert len(calls) == 1


def test_a_network_without_trained_parameters_is_refused():
    network = through(nn.Conv2d(C, C, 1)).requires_grad_(False)
    with pytest.raises(UserError, match="leaves none of the Denoiser's parameters that require"):
        selection.select(network, "all")


@pytest.mark.parametrize("other", [nn.Linear(C, C, bias=False), nn.Conv1d(C, C, 1, bias=False)])
def test_a_weight_of_two_layers_is_refused_even_if_one_is_left_out(other):
    torch.manual_seed(0)
    layer = nn.Linear(C, C)
    layer.weight = other.weight = nn.Parameter(torch.randn_like(other.weight).squeeze(-1))

    def function(self, x, t):
        tokens = x.flatten(2).mT
        both = self.attn(tokens).tanh() + functional.linear(tokens, self.other.weight.view(C, C))
        return both.mT.reshape(x.shape)

    network = network_of(function, attn=layer, other=other)
    with pytest.raises(UserError, match=r"other\.weight is the same parameter as attn\.weight"):
        selection.select(network, "attention")
    gradients_without_rules(network)


def test_real_conditions_are_used():
    """Those of the first two images; that of a single image is repeated."""
    table = torch.randn(3, 5, dtype=torch.float64)
    for rows in ([2, 0, 1], [1]):
        condition = Condition("words", torch.tensor(rows), table)
        network = through(nn.Linear(SIDE, SIDE))
        for batch in guard.batches(network, PROCESS, SHAPE, condition):
            expected = (rows * 2)[:2]
            assert batch.condition.rows.tolist() == expected
            assert torch.equal(batch.condition.arguments()["words"], table[expected])
            assert batch.one(1).condition.rows.tolist() == expected[1:]


def test_the_timesteps_are_early_and_late():
    made = guard.batches(through(nn.Linear(SIDE, SIDE)), PROCESS, SHAPE, None)
    assert [batch.time.tolist() for batch in made] == [[10, 89], [89, 10]]
    assert not torch.equal(made[0].x_t[0], made[0].x_t[1])


def test_a_prediction_that_is_not_finite_is_told():
    network = through(nn.Linear(SIDE, SIDE))
    network.function = lambda self, x, t: self.layer(self.first(x)) / 0
    with pytest.raises(UserError, match="prediction at timestep 10 is not finite"):
        check(network, "features")


def test_the_network_is_left_as_it_was():
    network = through(nn.Sequential(nn.Linear(SIDE, SIDE), nn.Dropout(0.5))).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    flags = [p.requires_grad for p in network.parameters()]
    check(network, "features")
    assert network.training
    assert network.layer[1].training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert [p.requires_grad for p in network.parameters()] == flags
    assert all(p.grad is None for p in network.parameters())
