"""Each kind of layer against explicit per-sample gradients, in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import explicit
from dasbench.errors import UserError
from dasbench.gradients import layers, selection
from dasbench.gradients.features import READOUTS
from dasbench.gradients.kronecker import Kronecker

N, CHANNELS, TIMES = 3, 6, 10
SHAPE = (CHANNELS, 7, 9)


def problem(dtype=torch.float64):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(N, *SHAPE, generator=rng, dtype=dtype)
    return x, torch.tensor([3, 0, 7]), torch.randn(N, *SHAPE, generator=rng, dtype=dtype)


def agree(network, dimensions, readout="l2", exact=True):
    """One comparison; returns the projection for a look at its matrices."""
    network = network.double().eval()
    x, t, wanted = problem()
    made = Kronecker(network, "all", dimensions, ("tests", 0), exact_norms=exact)
    found = made.gradients(x, t, wanted, [READOUTS[readout]])[0]
    truth = explicit.gradients(network, made.blocks, x, t, wanted, READOUTS[readout])
    expected = explicit.blocks(made, truth)
    assert found.shape == expected.shape == (N, made.width)
    for name, block in made.blocks.items():
        ours, theirs = found[:, block.columns], expected[:, block.columns]
        assert theirs.norm(dim=1).min() > 1e-8, f"{name} is not tested"
        assert ((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).max() < 1e-10, name
    if exact:
        norms = made.squares[0].sqrt()
        torch.testing.assert_close(norms, explicit.lengths(truth), rtol=1e-10, atol=0)
    return made


def around(layer):
    """The layer between two others, so that its input and its gradient are not the ends."""
    torch.manual_seed(0)

    def function(self, x_t, t):
        return functional.silu(self.layer(self.before(x_t).sin())).square()

    return explicit.Denoiser(function, before=nn.Conv2d(CHANNELS, CHANNELS, 1), layer=layer)


CONVOLUTIONS = {
    "plain": {},
    "padded": {"padding": 1},
    "padded one way": {"padding": (2, 0)},
    "stride": {"stride": 2, "padding": 1},
    "strides": {"stride": (1, 3), "kernel_size": (3, 2)},
    "same": {"padding": "same", "kernel_size": (3, 5)},
    "same, even": {"padding": "same", "kernel_size": (2, 4)},
    "valid": {"padding": "valid"},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "reflected": {"padding": (1, 2), "padding_mode": "reflect", "stride": (2, 1)},
    "replicated, same": {"padding": "same", "padding_mode": "replicate"},
    "dilated": {"dilation": (2, 1), "padding": 2},
    "no bias": {"bias": False, "padding": 1},
    "one pixel": {"kernel_size": 1},
    "one pixel, stride, no bias": {"kernel_size": 1, "bias": False, "stride": 2},
    "one pixel, padded": {"kernel_size": 1, "padding": 1},
    "groups": {"groups": 3, "padding": 1},
    "groups, circular, no bias": {
        "groups": 2,
        "padding": 1,
        "bias": False,
        "padding_mode": "circular",
        "stride": 2,
    },
    "depthwise": {"groups": 6, "padding": 1},
}


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(options):
    options = {"kernel_size": 3, **options}
    layer = nn.Conv2d(CHANNELS, 12, **options)
    seen = []
    for dimensions in (10_000, 300, 60, 15):
        made = agree(around(layer), dimensions)
        block = made.blocks["layer"]
        g, k_in, d_in = block.inputs.shape
        assert g == layer.groups
        seen.append((k_in < d_in, block.outputs is not None))
        separable = layer.groups == 1 and layer.kernel_size != (1, 1) and k_in <= CHANNELS
        assert (block.factors is not None) == separable
    assert seen[0] == (False, False)
    assert any(narrow for narrow, _ in seen)
    assert any(narrow for _, narrow in seen)


def tokens(layer, dimensions):
    """Agreement for a layer on [n, S, C]."""
    torch.manual_seed(0)

    def function(self, x_t, t):
        return self.layer(self.before(x_t.flatten(2).transpose(1, 2)).sin()).tanh()

    network = explicit.Denoiser(function, before=nn.Linear(CHANNELS, 8), layer=layer)
    return agree(network, dimensions, "l1")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dimensions", [10_000, 90, 30])
def test_linear_on_tokens(bias, dimensions):
    tokens(nn.Linear(8, 15, bias=bias), dimensions)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dimensions", [10_000, 60, 20])
def test_linear_and_embedding_of_the_timestep(bias, dimensions):
    torch.manual_seed(0)

    def function(self, x_t, t):
        return x_t * self.layer(self.table(t).sin()).square()[:, :, None, None]

    table = nn.Embedding(TIMES, 5)
    network = explicit.Denoiser(function, table=table, layer=nn.Linear(5, CHANNELS, bias=bias))
    made = agree(network, dimensions, "mean", exact=False)
    if dimensions == 10_000:
        assert made.width == sum(p.numel() for p in network.parameters())


def test_linear_on_a_grid_of_tokens():
    torch.manual_seed(0)

    def function(self, x_t, t):
        return self.layer(x_t.permute(0, 2, 3, 1)).tanh()

    agree(explicit.Denoiser(function, layer=nn.Linear(CHANNELS, 11)), 40)


def test_embedding_of_several_indices():
    torch.manual_seed(0)

    def function(self, x_t, t):
        words = torch.stack([t, t, (t + 1) % TIMES], 1)  # an index that comes twice
        weighted = self.table(words) * torch.tensor([1.0, 2.0, 3.0]).to(x_t)[:, None]
        return x_t * weighted.sum(1).sin()[:, :, None, None]

    for dimensions in (10_000, 30, 8):
        network = explicit.Denoiser(function, table=nn.Embedding(TIMES, CHANNELS))
        agree(network, dimensions, exact=False)


@pytest.mark.parametrize("dimensions", [10_000, 60, 24])
def test_norms_of_channels(dimensions):
    layer = nn.GroupNorm(3, CHANNELS, eps=1e-3)
    torch.manual_seed(3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    agree(around(layer), dimensions)


@pytest.mark.parametrize("dimensions", [10_000, 60, 16])
@pytest.mark.parametrize("bias", [True, False])
def test_norms_of_tokens(bias, dimensions):
    layer = nn.LayerNorm(8, bias=bias)
    nn.init.normal_(layer.weight)
    tokens(layer, dimensions)


def test_group_norm_of_tokens_and_layer_norm_of_images():
    torch.manual_seed(0)

    def function(self, x_t, t):
        whole = self.whole(x_t.sin())
        return self.group(whole.flatten(2)).tanh()

    for dimensions in (10_000, 40):
        agree(
            explicit.Denoiser(function, whole=nn.LayerNorm(SHAPE), group=nn.GroupNorm(2, CHANNELS)),
            dimensions,
        )


def test_a_module_that_is_called_twice_has_the_sum():
    torch.manual_seed(0)

    def function(self, x_t, t):
        return self.layer(self.layer(x_t).sin()).tanh() + self.once(x_t)

    modules = {
        "layer": nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        "once": nn.Conv2d(CHANNELS, CHANNELS, 1),
    }
    for dimensions in (10_000, 100, 30):
        agree(explicit.Denoiser(function, **modules), dimensions, "loss")


def test_exact_norms_by_both_ways():
    """Few places: products of places; many: the gradient itself."""
    few, many = nn.Conv2d(CHANNELS, 80, 3, stride=9), nn.Conv2d(CHANNELS, 4, 3)
    for layer in (few, many):
        agree(around(layer), 500)
    places = [layer(problem(torch.float64)[0]).shape[2:].numel() for layer in (few, many)]
    for layer, count in zip((few, many), places, strict=True):
        one = layers.Conv2d.of("layer", layer)
        ghost = count * (one.d_in + one.d_out) < one.d_in * one.d_out
        assert ghost == (layer is few)


def network_of(**modules):
    return explicit.Denoiser(lambda self, x_t, t: x_t, **modules)


def test_layers_without_a_rule_are_named():
    refused = {
        "up": nn.ConvTranspose2d(2, 3, 3),
        "line": nn.Conv1d(2, 3, 3),
        "batch": nn.BatchNorm2d(4),
        "both": nn.Bilinear(2, 3, 4),
    }
    for name, module in refused.items():
        network = network_of(first=nn.Linear(2, 2), **{name: module})
        with pytest.raises(UserError, match=rf"no rule for {name}\.weight of a ") as caught:
            selection.select(network, "all")
        assert type(module).__name__ in str(caught.value)
        assert "projection: rademacher" in str(caught.value)


def test_subsets_of_parameters():
    block = {"attentions": nn.Linear(2, 2), "norm": nn.GroupNorm(1, 2), "plain": nn.Linear(2, 2)}
    network = network_of(
        down_blocks=nn.ModuleDict(block), up_blocks=nn.ModuleDict({"plain": nn.Linear(2, 3)})
    )

    def names(parameters):
        return {full for own in selection.members(network, parameters).values() for full in own}

    assert names("all") == {name for name, _ in network.named_parameters()}
    assert names("weights") == {name for name in names("all") if ".norm." not in name}
    assert names("up_blocks") == {"up_blocks.plain.weight", "up_blocks.plain.bias"}
    assert all("attentions" in name for name in names("attention"))
    assert len(names("attention")) == 2
    with pytest.raises(UserError, match="parameters: lora leaves none of the Denoiser's"):
        selection.members(network, "lora")
    with pytest.raises(ValueError, match="parameters must be one of .*got 'down'"):
        selection.members(network, "down")


def test_layers_without_parameters_do_not_count():
    network = network_of(
        free=nn.GroupNorm(1, 2, affine=False), own=nn.LayerNorm(2, elementwise_affine=True)
    )
    assert [layer.name for layer in selection.select(network, "all")] == ["own"]


LAYOUTS = (
    torch.Tensor.contiguous,
    lambda x: x.contiguous(memory_format=torch.channels_last),
    lambda x: x.mT.contiguous().mT,
    lambda x: x.repeat_interleave(2, 3)[..., ::2],
)


@pytest.mark.parametrize("dimensions", [300, 60])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_inputs_of_every_size_and_layout(options, dimensions):
    module = nn.Conv2d(CHANNELS, 12, **{"kernel_size": 3, **options})
    made = Kronecker(around(module).double(), "all", dimensions, ("tests", 0))
    layer, block = layers.Conv2d.of("layer", module), made.blocks["layer"]
    for size in ((7, 9), (9, 7), (11, 13), (5, 70)):
        x = torch.randn(N, CHANNELS, *size, dtype=torch.float64)
        wanted = block.inputs @ layer.wide(x)
        for layout in LAYOUTS:
            found = layer.inputs(layout(x), block.inputs, block.factors)
            torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(7, 9), (11, 13)])
def test_half_precision_leaves_nothing_behind(size):
    module = nn.Conv2d(16, 16, 3, padding=1)
    network = explicit.Denoiser(lambda self, x, t: self.layer(x), layer=module)
    made = Kronecker(network, "all", 60, ("tests", 0))
    assert made.blocks["layer"].factors is not None
    x, t = torch.randn(N, 16, *size), torch.tensor([3, 0, 7])
    with torch.autocast("cpu", torch.bfloat16):
        half = made.gradients(x, t, x, [READOUTS["loss"]])[0].float()
    full = made.gradients(x, t, x, [READOUTS["loss"]])[0]
    assert 0 < (half - full).norm() < 0.02 * full.norm()
