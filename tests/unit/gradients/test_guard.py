"""Networks whose gradients the rules would get wrong: right, or refused by the name of the layer.

Every case is tried by both consumers of rules (features; EK-FAC and unlearning). The engine that
needs no rules must have autograd's gradients of every one, image by image, in float64.
"""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import explicit
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Ddpm
from dasbench.errors import UserError
from dasbench.gradients import guard, selection
from dasbench.gradients.ekfac import Ekfac
from dasbench.gradients.features import Extractor, per_example_gradients
from dasbench.gradients.kronecker import Kronecker
from dasbench.gradients.recorder import Recorder
from dasbench.gradients.unlearning import Unlearning

PROCESS = Ddpm(DDPMScheduler(100))
C, SIDE = 4, 6
SHAPE = (C, SIDE, SIDE)
SETTINGS = {"readout": "loss", "normalise": False, "noise": "keyed", "timesteps": 2, "draws": 1}
SETTINGS |= {"timestep_rule": "midpoint", "dimensions": 300, "parameters": "all"}


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


def network_of(function, **modules):
    return explicit.Denoiser(function, **modules).double().eval()


def through(layer):
    torch.manual_seed(0)
    first = nn.Conv2d(C, C, 1)
    return network_of(lambda self, x, t: self.layer(self.first(x)).tanh(), first=first, layer=layer)


def check(network, consumer):
    if consumer == "features":
        made = Kronecker(network, "all", 300, ("tests", 0), exact_norms=True)
    else:
        made = Recorder(network, "all")
    made.check(PROCESS, SHAPE)


def gradients_without_rules(network):
    """Those of the reference engine are autograd's, image by image."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(3, *SHAPE, generator=rng, dtype=torch.float64)
    t, target = torch.tensor([3, 50, 90]), x.sin()
    found = per_example_gradients(network, "loss")(x, t, target)
    trained = [p for p in network.parameters() if p.requires_grad]
    assert found.shape == (3, sum(p.numel() for p in trained))
    for i in range(3):
        out = network(x[i : i + 1], t[i : i + 1]).sample
        loss = (out - target[i : i + 1]).square().mean()
        expected = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
        flat = torch.cat([g.flatten() for g in expected])
        assert (found[i] - flat).norm() < 1e-10 * flat.norm()


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
