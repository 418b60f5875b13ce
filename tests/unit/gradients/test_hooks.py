"""Watching layers: every consumer against autograd, image by image, in float64.

Features (with exact norms) project what the watcher delivers; the recorder of EK-FAC and unlearning
multiplies it out. Whatever a network does around its layers, both must have autograd's gradients.
"""

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import nn
from torch.utils.checkpoint import checkpoint

import explicit
from dasbench.errors import UserError
from dasbench.gradients import hooks, layers, selection
from dasbench.gradients.features import READOUTS, per_example_gradients
from dasbench.gradients.kronecker import Kronecker
from dasbench.gradients.recorder import Recorder

TIMES = torch.tensor([3, 0, 7])
SMALL = {
    "in_channels": 1,
    "out_channels": 1,
    "sample_size": 8,
    "layers_per_block": 1,
    "block_out_channels": (4, 8),
    "norm_num_groups": 2,
    "attention_head_dim": 4,
}


def images(*shape):
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def features(network, x, target):
    """All gradients, multiplied by matrices that keep every number, and their squared lengths."""
    made = Kronecker(network, "all", 10**6, ("tests", 0), exact_norms=True)
    found = made.gradients(x, TIMES, target, [READOUTS["loss"]])[0]
    return found, made.squares[0]


def matrices(network, x, target):
    """What EK-FAC and unlearning see: G of every layer but norms, side by side."""
    watched = Recorder(network, "all")
    found = watched.losses(x, TIMES, target)
    return torch.cat([found[layer.name].flatten(1) for layer in watched.layers], 1)


def agree(network, *shape):
    """Both consumers have autograd's gradients; returns what they have."""
    x, target = images(*shape), images(*shape).sin()
    network = network.double().eval()
    made = Kronecker(network, "all", 10**6, ("tests", 0))
    truth = explicit.gradients(network, made.blocks, x, TIMES, target, READOUTS["loss"])
    found, squares = features(network, x, target)
    expected = explicit.blocks(made, truth)
    assert (found - expected).norm() < 1e-10 * expected.norm()
    torch.testing.assert_close(squares.sqrt(), explicit.lengths(truth), rtol=1e-10, atol=0)
    whole = matrices(network, x, target)
    names = [layer.name for layer in Recorder(network, "all").layers]
    expected = torch.cat([truth[name].flatten(1) for name in names], 1)
    assert (whole - expected).norm() < 1e-10 * expected.norm()
    return found, squares, whole


def denoiser(function, **modules):
    torch.manual_seed(0)
    for module in modules.values():
        module.reset_parameters()
    return explicit.Denoiser(function, **modules)


def convolutions():
    return {"a": nn.Conv2d(6, 6, 3, padding=1), "b": nn.Conv2d(6, 6, 1)}


def test_an_input_given_by_keyword():
    by_name = denoiser(lambda self, x, t: self.a(input=x).sin(), a=nn.Conv2d(6, 6, 1))
    by_place = denoiser(lambda self, x, t: self.a(x).sin(), a=nn.Conv2d(6, 6, 1))
    for one, other in zip(agree(by_name, 6, 7, 9), agree(by_place, 6, 7, 9), strict=True):
        assert torch.equal(one, other)


def test_an_input_whose_keyword_is_not_input():
    """A subclass with another forward has no rule; the watcher itself takes any keyword."""

    class Tokens(nn.Linear):
        def forward(self, hidden_states, scale=1.0):
            return super().forward(hidden_states) * scale

    def function(self, x, t):
        return self.a(scale=1.0, hidden_states=x).sin()

    network = denoiser(function, a=Tokens(9, 9)).double()
    with pytest.raises(UserError, match="a.weight of a Tokens, whose forward is not that of Lin"):
        selection.select(network, "all")
    layer, x = layers.Linear.of("a", network.a), images(6, 9)
    seen = []
    with hooks.watch(network, [layer], 3, lambda _, x: (x,), lambda *a: seen.append(a)) as watched:
        watched._record(layer, hooks._input(network.a, (), {"hidden_states": x}), x.clone())
    assert watched.calls == {"a": 1}


def test_an_operation_in_place_after_each_layer():
    def function(self, x, t):
        return torch.relu_(self.b(self.a(x).mul_(2)).add_(0.1))

    agree(denoiser(function, **convolutions()), 6, 7, 9)


@pytest.mark.parametrize("consumer", [features, matrices])
def test_an_input_that_changes_in_place_is_refused(consumer):
    def function(self, x, t):
        h = self.a(x)
        out = self.b(h)
        return out + h.mul_(2)

    linear = {name: nn.Linear(9, 9, bias=False) for name in "ab"}
    network = denoiser(function, **linear).double()
    with pytest.raises(UserError, match=r"changes the input of b in place .* work on a copy"):
        consumer(network, images(6, 9), images(6, 9))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):  # as in training
        network(images(6, 9), TIMES).sample.sum().backward()


TWICE = {
    "convolution": (lambda: nn.Conv2d(6, 6, 3, padding=1), (6, 7, 9)),
    "groups": (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=3), (6, 7, 9)),
    "linear": (lambda: nn.Linear(9, 9), (6, 9)),
    "norm": (lambda: nn.GroupNorm(2, 6), (6, 7, 9)),
    "norm of tokens": (lambda: nn.LayerNorm(9), (6, 9)),
}


@pytest.mark.parametrize(("build", "shape"), TWICE.values(), ids=TWICE)
def test_a_module_used_twice_has_the_sum(build, shape):
    def function(self, x, t):
        return self.layer(self.layer(self.first(x)).sin()).tanh() * x

    modules = {"first": nn.Linear(9, 9), "layer": build()}
    agree(denoiser(function, **modules), *shape)


def test_an_embedding_used_twice_has_the_sum():
    def function(self, x, t):
        return x * (self.table(t) * self.table((t + 3) % 10)).sin()[:, :, None]

    agree(denoiser(function, table=nn.Embedding(10, 6)), 6, 9)


def test_a_module_used_twice_of_which_one_use_counts():
    def function(self, x, t):
        self.layer(x)
        return self.layer(x.sin())

    agree(denoiser(function, layer=nn.Linear(9, 9)), 6, 9)


def labelled():
    """A denoiser with classes."""
    blocks = {
        "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
    }
    torch.manual_seed(0)
    unet = UNet2DModel(**SMALL, **blocks, num_class_embeds=3)
    return explicit.Denoiser(lambda self, x, t: self.unet(x, t, t % 3).sample, unet=unet)


def prompted():
    """A denoiser with prompts, which cross-attention reads."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        **SMALL,
        cross_attention_dim=6,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    texts = torch.randn(4, 5, 6, dtype=torch.float64)
    return explicit.Denoiser(lambda self, x, t: self.unet(x, t, texts[t % 4]).sample, unet=unet)


CONDITIONS = {labelled: "class_embedding", prompted: "attn2.to_k"}


@pytest.mark.parametrize(("build", "reader"), CONDITIONS.items())
def test_checkpointing_of_networks_with_conditions(build, reader):
    """Class labels and prompts are read by layers like any others; on or off, the same bytes."""
    network = build()
    assert any(reader in layer.name for layer in selection.select(network, "all"))
    plain = agree(network, 1, 8, 8)
    forwards = []
    handle = network.unet.mid_block.resnets[0].register_forward_hook(lambda *_: forwards.append(1))
    agree(network, 1, 8, 8)
    once = len(forwards)
    network.unet.enable_gradient_checkpointing()
    found = agree(network, 1, 8, 8)
    handle.remove()
    assert len(forwards) == 2 * once  # the pass is repeated indeed
    for one, other in zip(found, plain, strict=True):
        assert torch.equal(one, other)


def test_checkpointing_of_several_readouts():
    network = labelled().double().eval()
    x = images(1, 8, 8)
    made = Kronecker(network, "weights", 300, ("tests", 0), exact_norms=True)
    readouts = [READOUTS[name] for name in ("loss", "mean", "l1")]
    plain, squares = made.gradients(x, TIMES, x, readouts), made.squares
    network.unet.enable_gradient_checkpointing()
    for one, other in zip(made.gradients(x, TIMES, x, readouts), plain, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(made.squares, squares, strict=True):
        assert torch.equal(one, other)


def test_a_checkpointed_module_used_twice_after_nothing_that_needs_a_gradient():
    """The first watched layer lies inside: the repeated pass must save the same tensors."""

    def part(self, x):
        return self.layer(self.layer(x).sin()).tanh()

    def plain(self, x, t):
        return part(self, x) * x

    def repeated(self, x, t):
        return checkpoint(part, self, x, use_reentrant=False) * x

    networks = [denoiser(function, layer=nn.Linear(9, 9)) for function in (plain, repeated)]
    for one, other in zip(*(agree(network, 6, 9) for network in networks), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("consumer", [features, matrices])
def test_reentrant_checkpointing_is_refused_by_name(consumer):
    def function(self, x, t):
        return checkpoint(self.b, self.a(x), use_reentrant=True)

    network = denoiser(function, **convolutions()).double()
    with pytest.raises(UserError, match=r"^b runs without gradients .* reentrant gradient check"):
        consumer(network, images(6, 7, 9), images(6, 7, 9))


def test_the_reference_engine_refuses_checkpointing_by_name():
    network = labelled().eval()
    assert hooks.checkpointed(network) is None
    network.unet.enable_gradient_checkpointing()
    assert hooks.checkpointed(network).startswith("unet.")
    with pytest.raises(UserError, match=r"^unet\..* has gradient checkpointing on.*kronecker"):
        per_example_gradients(network, "loss")
    network.unet.disable_gradient_checkpointing()
    per_example_gradients(network, "loss")


@pytest.mark.parametrize("consumer", [features, matrices])
def test_what_a_gradient_could_not_be_known_of_is_refused(consumer):
    modules = {"used": nn.Conv2d(1, 1, 1), "spare": nn.Linear(2, 2)}
    network = denoiser(lambda self, x, t: self.used(x), **modules).double()
    with pytest.raises(UserError, match=r"spare was not called .* choose parameters .*rademacher"):
        consumer(network, images(1, 8, 8), images(1, 8, 8))
    rows = denoiser(
        lambda self, x, t: self.layer(x.flatten(0, 2)).view(x.shape), layer=nn.Linear(8, 8)
    ).double()
    with pytest.raises(UserError, match=r"layer saw 24 rows for 3 images, .* choose parameters"):
        consumer(rows, images(1, 8, 8), images(1, 8, 8))


def state(network):
    """Number of hooks; whether each parameter requires a gradient, and has one."""
    count = sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in network.modules()
    )
    return count, [(p.requires_grad, p.grad is None) for p in network.parameters()]


@pytest.mark.parametrize("consumer", [features, matrices])
@pytest.mark.parametrize("broken", ["nothing", "forward", "refusal", "use"])
def test_the_network_is_left_as_it_was(broken, consumer, monkeypatch):
    network = labelled().double().eval()
    for module in list(network.modules())[::3]:
        for p in module.parameters(recurse=False):
            p.requires_grad_(False)
    before, weights = state(network), [p.clone() for p in network.parameters()]
    assert before[0] == 0
    x = images(1, 8, 8)

    def fail(*_, **__):
        raise RuntimeError("broken on purpose")

    if broken == "nothing":
        consumer(network, x, x)
    else:
        place, name = {
            "forward": (network.unet.mid_block, "forward"),
            "refusal": (hooks.Watched, "_check"),
            "use": (layers.Layer, "outgoing"),
        }[broken]
        monkeypatch.setattr(place, name, fail)
        with pytest.raises(RuntimeError, match="on purpose"):
            consumer(network, x, x)
        monkeypatch.undo()
    assert state(network) == before
    assert all(torch.equal(a, b) for a, b in zip(weights, network.parameters(), strict=True))
    with torch.no_grad():  # and works afterwards, also where gradients are off
        assert consumer(network, x, x)[0].isfinite().all()


def test_a_repeated_pass_adds_nothing_and_parameters_need_no_gradient():
    network = denoiser(
        lambda self, x, t: checkpoint(lambda h: self.b(self.a(h).sin()), x, use_reentrant=False),
        **convolutions(),
    ).double()
    passes, kept, frozen = [], [], []
    network.a.register_forward_pre_hook(lambda *_: passes.append(1))

    def keep(layer, x):
        kept.append(layer.name)
        return (x,)

    def use(layer, kept, delta, calls):
        frozen.append([p.requires_grad for p in network.parameters()])
        return delta

    chosen = selection.select(network, "all")
    with hooks.watch(network, chosen, 3, keep, use) as watched:
        out = network(images(6, 7, 9), TIMES).sample
        sums = watched.backward(out.sum())
    assert torch.equal(sums["b"], torch.ones_like(out))
    assert len(passes) == 2
    assert kept == ["a", "b"]
    assert watched.calls == {"a": 1, "b": 1}
    assert frozen == [[False] * 4] * 2
